// The benchmark that people run: node bench/densenet.ts --help

import { main } from "../benchmarks/densenet.ts";

process.exitCode = await main(process.argv.slice(2));
