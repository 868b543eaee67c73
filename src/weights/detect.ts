// Which format some bytes are, by their content and never by the file's name; and for bytes that are no weights, the
// sentence that says what they are instead: most "broken checkpoints" are downloads that went wrong.

import { looksLikeOnnx } from "./onnx.ts";
import type { Source } from "./source.ts";
import { looksLikeTfjs } from "./tfjs.ts";

export type Format = "safetensors" | "zip" | "pickle" | "pytorch-tar" | "hdf5" | "tfjs" | "onnx";

/** The format to read the source as. Throws DataError, saying what the file is, where Thaw reads no such thing. */
export function detect(source: Source): Format {
  const { bytes } = source;
  if (bytes.length === 0) throw source.error("is empty (0 bytes)");
  if (startsSafetensors(bytes)) return "safetensors";
  if (starts(bytes, "PK\x03\x04") || starts(bytes, "PK\x05\x06")) return "zip";
  if (bytes[0] === 0x80 && bytes[1] <= 5) return "pickle";
  if (starts(bytes, "L119547037146038801333356L\n")) return "pickle"; // protocol 0
  if (starts(bytes, "ustar", 257)) return "pytorch-tar";
  if (starts(bytes, "\x89HDF\r\n\x1a\n")) return "hdf5";
  const other = OTHERS.find(([text, at]) => starts(bytes, text, at));
  if (other) throw source.error(other[2]);
  const text = asText(bytes.subarray(0, 4096));
  if (text === null && looksLikeOnnx(source)) return "onnx";
  if (text !== null && isTfjs(text, bytes)) return "tfjs";
  throw source.error(whatElse(text, bytes));
}

function starts(bytes: Uint8Array, text: string, at = 0): boolean {
  if (bytes.length < at + text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}

/**
 * Eight bytes of header length, then a JSON object. The length is at most 100 MB; where it is damaged its reader says
 * so, and two bytes of zeros are enough to tell the file from a text.
 */
function startsSafetensors(bytes: Uint8Array): boolean {
  return bytes.length > 8 && bytes[8] === 0x7b && bytes[6] === 0 && bytes[7] === 0;
}

/** Beginnings of files that people take for weights, and what to say of them. */
const OTHERS: ReadonlyArray<readonly [text: string, at: number, sentence: string]> = [
  ["\x93NUMPY", 0, "is a NumPy .npy array, not a set of named weights"],
  ["\x1f\x8b", 0, "is compressed with gzip; unpack it first"],
  ["BZh", 0, "is compressed with bzip2; unpack it first"],
  ["\xfd7zXZ\0", 0, "is compressed with xz; unpack it first"],
  ["\x28\xb5\x2f\xfd", 0, "is compressed with zstd; unpack it first"],
  ["7z\xbc\xaf\x27\x1c", 0, "is a 7z archive; unpack it first"],
  ["Rar!", 0, "is a RAR archive; unpack it first"],
  ["GGUF", 0, "is a GGUF file (language models), which Thaw does not read"],
  ["TFL3", 4, "is a TensorFlow Lite model, which Thaw does not read"],
  ["\x89PNG", 0, "is a PNG picture"],
  ["\xff\xd8\xff", 0, "is a JPEG picture"],
  ["%PDF", 0, "is a PDF document"],
];

/** The list of weights comes after the network, which may be long. */
function isTfjs(text: string, bytes: Uint8Array): boolean {
  return /^\s*\{/.test(text) && bytes.length < MAX_JSON && looksLikeTfjs(new TextDecoder().decode(bytes));
}

const MAX_JSON = 2 ** 28;

function whatElse(text: string | null, bytes: Uint8Array): string {
  if (text !== null) return whatText(text, bytes.length);
  const head = [...bytes.subarray(0, 8)].map((b) => b.toString(16).padStart(2, "0")).join(" ");
  if (bytes.subarray(0, 4096).every((b) => b === 0))
    return `begins with zeros (${bytes.length} bytes): a failed download?`;
  return `is no format that Thaw reads (PyTorch, safetensors, Keras, TensorFlow.js, ONNX); it begins with the bytes ${head}`;
}

/** The bytes as text, or null where they are binary. */
function asText(bytes: Uint8Array): string | null {
  // A character cut in two at the end is no error.
  const text = new TextDecoder().decode(bytes, { stream: true });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what tells binary from text
  return /[\0-\x08\x0e-\x1a\x1c-\x1f\ufffd]/.test(text) ? null : text;
}

function whatText(text: string, length: number): string {
  const pointer = /^version https:\/\/git-lfs\.github\.com\/spec[\s\S]*?\nsize (\d+)/.exec(text);
  if (pointer) {
    return `is a Git LFS pointer standing for a file of ${pointer[1]} bytes; fetch that with "git lfs pull"`;
  }
  if (/^\.?\S*\/annex\/objects\//.test(text))
    return `is a git-annex pointer; fetch its file with "git annex get"`;
  if (/^\s*(<!--[\s\S]*?-->\s*)*<(!doctype html|html|head|body)\b/i.test(text)) {
    return "is an HTML page, not weights: the download gave an error or sign-in page";
  }
  if (/^\s*<(\?xml|Error\b)/.test(text))
    return "is an XML document, not weights: the download may have given an error";
  if (/^\s*[{[]/.test(text)) return "is a JSON text, not weights";
  const start = JSON.stringify(text.slice(0, 30));
  return `is a text file of ${length} bytes, not weights; it begins with ${start}`;
}
