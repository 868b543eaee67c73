// thaw weights: fetches a known weight file into the user's cache, checked by its hash.

import { nearest, UsageError } from "../core/error.ts";
import { findKnown, manifest, pull } from "../weights/known.node.ts";
import { command } from "./command.ts";
import { plural } from "./output.ts";

export const knownWeights = command({
  name: "weights",
  usage: "pull NAME [options]",
  about: "download published weights, such as densenet121/imagenet, into the cache",
  more: "NAME is MODEL/imagenet, or MODEL alone. The file's SHA-256 is checked; where there is no network, put the file\ninto the cache folder by hand, as the message says.",
  options: {},
  arguments: { least: 2, most: 2 },
  async run({ positionals: [action, wanted], out, signal }) {
    if (action !== "pull")
      throw new UsageError(`thaw weights ${action}: there is only thaw weights pull NAME`);
    const known = await manifest();
    const name = known.has(wanted) ? wanted : `${wanted}/imagenet`;
    const entry = known.get(name);
    if (!entry) {
      const near = nearest(
        wanted,
        [...known.keys()].flatMap((k) => [k, k.split("/")[0]]),
      );
      throw new UsageError(
        `there are no known weights called ${wanted}${near ? `; did you mean ${near}?` : ` (there are ${[...known.keys()].join(", ")})`}`,
      );
    }
    const before = await findKnown(entry);
    const mib = (n: number) => Math.round(n / 2 ** 20);
    const path = await pull(name, entry, {
      signal,
      onProgress: (done, total) => out.progress(`${entry.file} (MiB)`, mib(done), mib(total)),
    });
    out.result(
      { event: "done", name, path, downloaded: !before.present, licence: entry.licence },
      `${name}: ${path}${before.present ? " (was there already)" : `, ${plural(entry.classes, "class", "classes")}`}`,
    );
  },
});
