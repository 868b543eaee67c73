// Runs the scenario in Node and prints it as JSON: `node in_node.ts gpu|cpu`. A process of its own, because the Vulkan
// loader reads its environment once.
import * as thaw from "../../src/index.ts";
import { runtime } from "../../src/runtime/context.ts";
import { scenario } from "./scenario.ts";

await thaw.init(process.argv[2] === "cpu" ? { device: "cpu" } : {});
const adapter = (await runtime().backend()).name;
const bits = await scenario(thaw);
await thaw.close();
process.stdout.write(JSON.stringify({ adapter, bits }));
