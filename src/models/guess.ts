// Which architecture a file's arrays belong to: the one whose names and shapes they fit best. Only architectures of
// families that the names speak of are built to compare with, for there are many.

import { init, type StateInput } from "../nn/index.ts";
import { stripNames } from "../nn/state_dict.ts";
import { create, list } from "./index.ts";

export interface Guess {
  /** The name that `models.create` takes. */
  readonly model: string;
  /** Of the architecture's arrays, how many the file has by name and shape, and how many there are. */
  readonly matched: number;
  readonly of: number;
  /** The file's names that the architecture does not have. */
  readonly unexpected: number;
}

/** What names of a family look like, in any layout: torchvision's, timm's, Hugging Face's, Keras'. */
const FAMILIES: ReadonlyArray<readonly [names: RegExp, models: RegExp]> = [
  [/denseblock\d+\.|conv\d_block\d+_[12]_(bn|conv)/, /densenet/i],
  [/layer[1-4]\.\d+\.conv\d|resnet\.encoder|conv\d_block\d+_3_conv/, /resnet/i],
  [/\bblock\d_conv\d|^features\.\d+\.(weight|bias)$/, /vgg/i],
  [/\.squeeze\.|fire\d/, /squeezenet/i],
  [/features\.\d+\.conv\.\d|block_\d+_(expand|project|depthwise)|blocks\.\d\.\d\.conv_dw/, /mobilenet/i],
  [/features\.\d\.\d\.block\.|block\d[a-z]_|\.se\.conv_reduce/, /efficientnet/i],
];

/** Less than this share of an architecture's arrays is no likeness. */
const LEAST = 0.5;

/** The architectures of the families that the names speak of. */
export function candidates(dict: StateInput): string[] {
  const names = [...stripNames(dict).keys()];
  const spoken = FAMILIES.filter(([pattern]) => names.some((name) => pattern.test(name)));
  return list().filter((model) => spoken.some(([, models]) => models.test(model)));
}

/** The architecture that the arrays fit best, or null where they fit none by half. */
export function guessArchitecture(dict: StateInput): Guess | null {
  let best: Guess | null = null;
  for (const model of candidates(dict)) {
    const guess = compare(model, dict);
    if (guess && (best === null || score(guess) > score(best))) best = guess;
  }
  return best !== null && best.matched / best.of >= LEAST ? best : null;
}

/** A share of what the architecture wants, less what it cannot take: of two that are complete the smaller is meant. */
const score = ({ matched, of, unexpected }: Guess): number => matched / of - unexpected / (of + unexpected);

function compare(model: string, dict: StateInput): Guess | null {
  const net = init.skipInit(() => create(model));
  try {
    const report = net.loadStateDict(dict, { strict: false, dryRun: true });
    const { loaded, missing, misshaped, unexpected } = report;
    return {
      model,
      matched: loaded.length,
      of: loaded.length + missing.length + misshaped.length,
      unexpected: unexpected.length,
    };
  } catch {
    // Two old names for one weight, or a file that names nothing as the architecture does.
    return null;
  }
}
