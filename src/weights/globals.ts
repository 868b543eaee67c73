// Which classes and functions a pickle may name. Unpickling in Python is a program that the file brings along; here
// it is data. The policy, in the order in which it is applied:
//
// 1. Nothing that a file names is ever looked up, imported or called. A name stays a name (PyGlobal).
// 2. Some names refuse the whole file even when they are not called, because such a file is an attack or at best no
//    weights: all of Python's standard library but the modules of DATA_MODULES and a few builtin types, packages that
//    exist to run or reach something (ACTING_PACKAGES), the parts of torch and NumPy that load or run code.
// 3. A list of constructors is understood (calls.ts, rebuild.ts, numpy.ts): what torch.save, collections and NumPy
//    need to describe tensors and plain values. Each is reimplemented here as a function of data. This is the
//    allow-list: nothing else makes a tensor, an array or a container.
// 4. A call of any other function (a name not spelled like a class) refuses the file.
// 5. An object of any other class (Net, torch.optim.sgd.SGD) is an inert record of what the file gives it, so that
//    training checkpoints and whole modules can be read. Its attributes and items are data and are read. What it was
//    called with need not be what it holds, so a tensor among such arguments is refused (flatten.ts). Classes that are
//    neither Python's, PyTorch's nor NumPy's are listed in Checkpoint.foreign for the user to see, and a file that
//    holds such objects and not one tensor is refused.
// 6. Extension codes (EXT1…4) refer to a registry in the writing process; they refuse the file.
//
// Harmlessness rests on rule 1 alone. Rule 2 is a list, and no list of dangerous names is complete.

import { ACTING_MODULES, ACTING_PACKAGES, DATA_MODULES } from "./python_modules.ts";
import type { Source } from "./source.ts";
import { PyGlobal } from "./values.ts";

const acts = (module: string): boolean => ACTING_MODULES.has(module) || ACTING_PACKAGES.has(module);

/** Modules that are reached through others as well: copies within packages, names that packages import. */
const ACTING_ANYWHERE = /\.(builtins|importlib|os|posix|six|subprocess|sys)(\.|$)/;

/** Names inside otherwise harmless packages that load or run code; the file is refused as for modules that act. */
const FORBIDDEN_PATHS =
  /^(torch\.(load|save|compile|hub|jit|package|ops|classes|fx|_dynamo|_inductor|utils\.(cpp_extension|bottleneck|collect_env|model_zoo)|serialization\.(load|save))|numpy\.(load|save|fromfile|memmap|f2py|testing|distutils|lib\.npyio))(\.|$)/;

/** The data types among Python's builtins; everything else there is a function that acts. */
const BUILTIN_TYPES = new Set(
  `bool bytearray bytes complex dict float frozenset int list long object range set slice str tuple unicode xrange
  Ellipsis NotImplemented`.split(/\s+/),
);

/** Members of forbidden modules that only hold data or turn data into data. */
const EXCEPTIONS = new Set([
  "_codecs.encode",
  "copyreg._reconstructor",
  "copyreg.__newobj__",
  "types.SimpleNamespace",
]);

/** Python 2's and NumPy 2's names as today's and NumPy 1's. */
const RENAMED: ReadonlyMap<string, string> = new Map([
  ["__builtin__", "builtins"],
  ["copy_reg", "copyreg"],
  ["numpy._core.multiarray", "numpy.core.multiarray"],
  ["numpy._core.numeric", "numpy.core.numeric"],
]);

/** The global that a pickle names; throws DataError, naming it, where the policy above forbids it. */
export function resolveGlobal(source: Source, givenModule: string, name: string): PyGlobal {
  const module = RENAMED.get(givenModule) ?? givenModule;
  const target = new PyGlobal(module, name);
  if (EXCEPTIONS.has(target.path)) return target;
  const root = module.split(".", 1)[0];
  const builtin = root === "builtins" || root === "copyreg" || root === "_codecs";
  const refused =
    acts(root) ||
    (builtin && !(module === "builtins" && BUILTIN_TYPES.has(name))) ||
    ACTING_ANYWHERE.test(module) ||
    FORBIDDEN_PATHS.test(target.path) ||
    walksOut(name);
  if (refused) throw source.error(`the pickle asks for ${givenModule}.${name}, which Thaw never runs`);
  return target;
}

/** STACK_GLOBAL may walk from a harmless module into the ones that it imported: ("torch", "os.system"). */
function walksOut(name: string): boolean {
  const parts = name.split(".");
  return parts.slice(0, -1).some(acts) || parts.some((part) => part === "builtins" || /^__.*__$/.test(part));
}

/** Whether a class belongs to neither Python, PyTorch nor NumPy. */
export function isForeign({ module }: PyGlobal): boolean {
  const root = module.split(".", 1)[0];
  return !(DATA_MODULES.has(root) || ["torch", "numpy", "builtins", "copyreg", "types"].includes(root));
}

/** Whether a name is spelled like a class: its last part begins, after underscores, with a capital letter. */
export function looksLikeClass(target: PyGlobal): boolean {
  return /^_*\p{Lu}/u.test(target.name.slice(target.name.lastIndexOf(".") + 1));
}
