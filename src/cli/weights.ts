// thaw weights: lists the published weight files that Thaw knows, fetches one into the user's cache, checked by its hash,
// and says what is in a file of any kind (inspect.ts).

import { nearest, UsageError } from "../core/error.ts";
import { findKnown, type KnownWeights, manifest, pull } from "../weights/known.node.ts";
import { command } from "./command.ts";
import { inspect } from "./inspect.ts";
import { type Output, plural, table, thousands } from "./output.ts";

export const knownWeights = command({
  name: "weights",
  usage: "list | pull NAME | inspect FILE [options]",
  about: "list published weights, download some (such as densenet121/imagenet), or say what is in a file",
  more: "NAME is MODEL/imagenet, or MODEL alone. The file's SHA-256 is checked. A download that broke off goes on when the\ncommand is repeated; where there is no network, put the file into the cache folder by hand, as the message says.\nFILE is a weight file of any kind that thaw convert takes: its arrays with dtype, shape and statistics, and which\narchitecture they may belong to.",
  options: {},
  arguments: { least: 1, most: 2 },
  async run({ positionals: [action, wanted], out, signal }) {
    if (action === "inspect" && wanted !== undefined) return inspect(wanted, out);
    const known = await manifest();
    if (action === "list" && wanted === undefined) return listKnown(known, out);
    if (action !== "pull" || wanted === undefined)
      throw new UsageError(
        `thaw weights ${[action, wanted].join(" ").trim()}: there are thaw weights list, thaw weights pull NAME and thaw weights inspect FILE`,
      );
    const name = known.has(wanted) ? wanted : `${wanted}/imagenet`;
    const entry = known.get(name);
    if (!entry) throw unknownName(wanted, known);
    const mib = (n: number) => Math.round(n / 2 ** 20);
    const { path, downloaded } = await pull(name, entry, {
      signal,
      onNotice: (sentence) => out.say(sentence),
      // Where the server does not say how much there is, all that has come is all that is known.
      onProgress: (done, total) => out.progress(`${entry.file} (MiB)`, mib(done), mib(total || done)),
    });
    out.result(
      { event: "done", name, path, downloaded, licence: entry.licence },
      `${name}: ${path}${downloaded ? `, ${plural(entry.classes, "class", "classes")}` : " (was there already)"}`,
    );
  },
});

/** All of them, with what was published of each and whether the file is here. */
async function listKnown(known: ReadonlyMap<string, KnownWeights>, out: Output): Promise<void> {
  const rows: string[][] = [];
  for (const [name, entry] of known) {
    const { path, present } = await findKnown(entry);
    const { accuracy, preprocessing: p } = entry;
    if (out.json) out.result({ event: "weights", name, ...entry, path: present ? path : null }, "");
    rows.push([
      name,
      thousands(entry.parameters),
      accuracy ? `${accuracy.top1} %` : "",
      `${p.resize} → ${p.crop}, ${p.interpolation}`,
      entry.licence,
      present ? path : "not here",
    ]);
  }
  const head = ["name", "parameters", "top-1", "pictures", "licence", "file"];
  if (!out.json) out.result({}, table(head, rows));
}

/** The error for a name that the manifest does not have, with the name that may have been meant. */
export function unknownName(wanted: string, known: ReadonlyMap<string, KnownWeights>): UsageError {
  // A model's name is known by its letters too, so that "densnet" is near to densenet121.
  const meant = new Map<string, string>();
  for (const name of known.keys()) {
    const [model] = name.split("/");
    for (const word of [name, model, model.replace(/\d+$/, "")])
      if (!meant.has(word)) meant.set(word, word === name ? name : model);
  }
  const near = meant.get(nearest(wanted, meant.keys()) ?? "");
  return new UsageError(
    `there are no known weights called ${wanted}${near ? `; did you mean ${near}?` : ""} (thaw weights list shows all)`,
  );
}
