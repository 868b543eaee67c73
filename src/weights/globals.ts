// Which classes and functions a pickle may name. Unpickling in Python is a program that the file brings along; here
// it is data. The policy, from the strictest rule to the mildest:
//
// 1. Nothing that a file names is ever looked up, imported or called. A name stays a name (PyGlobal).
// 2. Names in modules that hostile pickles use to reach a shell, the file system, the network, other code or the
//    interpreter itself (os, subprocess, builtins.eval, …: FORBIDDEN below) refuse the whole file, even when they
//    are not called: such a file is an attack, and saying so is worth more than reading it.
// 3. A short list of constructors is understood (calls.ts, rebuild.ts, numpy.ts): what torch.save, collections and
//    NumPy need to describe tensors and plain values. Each is reimplemented here as a function of data.
// 4. Calling anything else refuses the file, unless the name is spelled like a class (Net, torch.optim.sgd.SGD): then
//    the "object" is an inert record of its arguments and state. A lower-case name may be mentioned but not called.
// 5. Extension codes (EXT1…4) refer to a registry in the writing process; they refuse the file.
//
// Harmlessness rests on rule 1 alone. Rule 2 is a list, and no list of dangerous names is complete.

import type { Source } from "./source.ts";
import { PyGlobal } from "./values.ts";

const FORBIDDEN = new Set(
  `_aix_support _bootsubprocess _ctypes _imp _io _multiprocessing _operator _osx_support _pickle _posixsubprocess
  _pyrepl _signal _socket _thread _winapi _winreg aiohttp antigravity asyncio atexit bdb cPickle cProfile cffi
  cloudpickle code codecs codeop commands compileall concurrent ctypes dill distutils doctest ensurepip fileinput
  ftplib functools gc http httplib httpx idlelib imp importlib inspect io linecache logging marshal mmap modulefinder
  msvcrt multiprocessing nt ntpath operator os pdb pexpect pickle pip pkg_resources pkgutil platform popen2 poplib
  posix posixpath psutil pty py_compile pydoc requests rlcompleter runpy setuptools shelve shutil signal smtplib
  socket socketserver sqlite3 ssl subprocess sys sysconfig tarfile telnetlib tempfile thread threading timeit tkinter
  turtle types urllib urllib2 urllib3 venv webbrowser winreg wsgiref xmlrpc xmlrpclib zipapp zipfile
  zipimport`.split(/\s+/),
);

/** Names inside otherwise harmless packages that load or run code; the file is refused as for FORBIDDEN modules. */
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
    FORBIDDEN.has(root) ||
    (builtin && !(module === "builtins" && BUILTIN_TYPES.has(name))) ||
    FORBIDDEN_PATHS.test(target.path) ||
    // STACK_GLOBAL may walk from a harmless module into the ones it imported: ("torch", "os.system").
    name.split(".").some((part) => FORBIDDEN.has(part) || part === "builtins" || /^__.*__$/.test(part));
  if (refused) throw source.error(`the pickle asks for ${givenModule}.${name}, which Thaw never runs`);
  return target;
}

/** Whether a name is spelled like a class: its last part begins, after underscores, with a capital letter. */
export function looksLikeClass(target: PyGlobal): boolean {
  return /^_*\p{Lu}/u.test(target.name.slice(target.name.lastIndexOf(".") + 1));
}
