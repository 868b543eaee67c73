// Thaw in a process of its own, with other options of init than its neighbours: node thaw_child.ts '{"rewrites":false}'.
// serve.ts has the protocol; beside it, {"do":"size"} tells what the plan of the loaded step asks of the device.

import type { InitOptions } from "../src/index.ts";
import type { Job } from "./engine.ts";
import { planSize } from "./plan_size.ts";
import { serve } from "./serve.ts";
import { ThawEngine } from "./thaw.ts";

const engine = new ThawEngine(JSON.parse(process.argv[2] ?? "{}") as InitOptions);

await serve({
  load: (request: Job) => engine.load(request),
  logits: async () => ({ logits: Array.from(await engine.logits()) }),
  step: async ({ count }: { count: boolean }) => {
    const step = await engine.step(count);
    return { ...step, logits: step.logits && Array.from(step.logits) };
  },
  size: async () => planSize(await engine.plan()),
});
await engine.close();
