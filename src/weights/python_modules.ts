// Names of Python's modules for the policy in globals.ts: data about names, nothing here decides.

/** Modules of the standard library whose classes are plain data and turn up in checkpoints. */
export const DATA_MODULES: ReadonlySet<string> = new Set(
  `__future__ argparse cmath collections dataclasses datetime decimal enum fractions ipaddress math numbers
  pathlib random string typing uuid zoneinfo`.split(/\s+/),
);

/**
 * The others: sys.stdlib_module_names of Python 3.11 to 3.14 without its private modules, but with those of them that
 * act, and what Python 2 had beside it of that kind.
 */
export const ACTING_MODULES: ReadonlySet<string> = new Set(
  `SimpleHTTPServer SocketServer StringIO _aix_support _bootsubprocess _collections_abc _ctypes
  _frozen_importlib _frozen_importlib_external _functools _imp _interpchannels _interpqueues _interpreters
  _io _multiprocessing _operator _osx_support _pickle _posixsubprocess _pyio _pyrepl _signal _sitebuiltins
  _socket _sqlite3 _sre _ssl _thread _tkinter _warnings _weakref _winapi _winreg _xxinterpchannels
  _xxsubinterpreters abc aifc annotationlib antigravity anydbm array ast asynchat asyncio asyncore atexit
  audioop base64 bdb binascii bisect bsddb bz2 cPickle cProfile cStringIO calendar cgi cgitb chunk cmd code
  codecs codeop colorsys commands compileall compression concurrent configparser contextlib contextvars copy
  copy_reg crypt csv ctypes curses dbm difflib dis distutils doctest email encodings ensurepip errno
  faulthandler fcntl filecmp fileinput fnmatch ftplib functools gc genericpath getopt getpass gettext glob
  graphlib grp gzip hashlib heapq hmac html http httplib idlelib ihooks imaplib imghdr imp importlib imputil
  inspect io itertools json keyword lib2to3 linecache locale logging lzma macpath mailbox mailcap marshal
  mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis nntplib nt ntpath nturl2path opcode
  operator optparse os os2emxpath ossaudiodev pdb pickle pickletools pipes pkgutil platform plistlib popen2
  poplib posix posixfile posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat
  queue quopri re readline reprlib resource rexec rlcompleter runpy sched secrets select selectors shelve
  shlex shutil signal site smtpd smtplib sndhdr socket socketserver spwd sqlite3 sre_compile sre_constants
  sre_parse ssl stat statistics stringprep struct subprocess sunau symtable sys sysconfig syslog tabnanny
  tarfile telnetlib tempfile termios textwrap this thread threading time timeit tkinter token tokenize
  tomllib trace traceback tracemalloc tty turtle turtledemo types unicodedata unittest urllib urllib2 uu
  venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc xmlrpclib zipapp zipfile
  zipimport zlib`.split(/\s+/),
);

/** Packages that exist to run, load or reach something: processes, shells, code, pickles, networks. */
export const ACTING_PACKAGES: ReadonlySet<string> = new Set(
  `IPython aiohttp cffi cloudpickle dill distlib docker fabric future httplib2 httpx invoke ipykernel joblib paramiko past
  pathos pexpect pip pkg_resources plumbum psutil ptyprocess pythoncom requests setuptools sh six subprocess32 urllib3
  virtualenv win32api win32com win32process`.split(/\s+/),
);
