// npm run setup, and what npm test and npm start run first: is there a Vulkan adapter that Dawn can use? Where there
// is none, Mesa's software one is installed, but only as root in a container or under CI=true, and said so; anywhere
// else nothing changes and the command to run is printed. It never fails those scripts: what needs an adapter and
// finds none says so in one sentence. With --system it installs wherever root runs it, and fails when that did not help.
// Plain JavaScript without dependencies, because it may be the first thing that runs, on whatever Node there is (20 up).

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const SCRIPT = fileURLToPath(import.meta.url);
const ROOT = dirname(dirname(SCRIPT));
const BACKPORTS = "/etc/apt/sources.list.d/thaw-backports.sources";

/**
 * What to do. "tell" changes nothing and names the command; "needs-root" is --system without the rights for it.
 * @param {{ platform: string, usable: boolean, root: boolean, container: boolean, ci: boolean, system: boolean }} facts
 * @returns {"nothing" | "install" | "tell" | "needs-root"}
 */
export function decide({ platform, usable, root, container, ci, system }) {
  if (platform !== "linux" || usable) return "nothing";
  if (system) return root ? "install" : "needs-root";
  return root && (container || ci) ? "install" : "tell";
}

/**
 * Whether this is a container, by marks that no person's own machine has: the files and variables that runtimes leave,
 * control groups named after them, what systemd wrote at boot, or a first process that is no init system.
 * WSL counts as a person's machine.
 * @param {{ files: readonly string[], env: Record<string, string | undefined>, cgroup: string, systemd: string, init: string }} marks
 */
export function isContainer({ files, env, cgroup, systemd, init }) {
  if (env.WSL_DISTRO_NAME || systemd === "wsl") return false;
  if (files.length > 0 || systemd !== "" || env.KUBERNETES_SERVICE_HOST) return true;
  if (["docker", "podman", "oci", "lxc", "systemd-nspawn"].includes(env.container ?? "")) return true;
  if (/docker|kubepods|containerd|libpod|\blxc\b/.test(cgroup)) return true;
  return (
    init !== "" && !/^(systemd|init|runit|s6-.*|dinit|shepherd|finit|openrc.*|busybox|launchd)$/.test(init)
  );
}

const COMMANDS = {
  fedora: "dnf install vulkan-loader mesa-vulkan-drivers",
  rhel: "dnf install vulkan-loader mesa-vulkan-drivers",
  arch: "pacman -S vulkan-icd-loader vulkan-swrast",
  suse: "zypper install libvulkan1 libvulkan_lvp",
};

/**
 * How this distribution gets Mesa's software Vulkan driver: apt packages (with the Debian mirror that backports are
 * to come from, where they are needed), or the command for a person.
 * @param {string} osRelease text of /etc/os-release
 * @param {string} sources all of apt's sources
 * @returns {{ apt: string[][], backports: { uri: string, signedBy: string | null } | null } | { manual: string }}
 */
export function installPlan(osRelease, sources) {
  const field = (name) => new RegExp(`^${name}="?([^"\n]*)`, "m").exec(osRelease)?.[1] ?? "";
  const id = field("ID");
  // Debian's testing and unstable have no number.
  const version = Number(field("VERSION_ID") || 99);
  const family = [id, ...field("ID_LIKE").split(" ")];
  if (id === "debian" && version < 12)
    return { manual: "upgrade to Debian 12 or later, whose Mesa Dawn can use" };
  if (id === "debian" && version === 12) {
    // Mesa 22.3 of bookworm itself lacks the dynamic indexing of uniform arrays that Dawn demands.
    const mesa = ["-t", "bookworm-backports", "mesa-vulkan-drivers"];
    return { apt: [["libvulkan1"], mesa], backports: backportsSource(sources) };
  }
  if (family.includes("debian") || family.includes("ubuntu"))
    return { apt: [["libvulkan1", "mesa-vulkan-drivers"]], backports: null };
  const known = Object.keys(COMMANDS).find((name) => family.includes(name));
  if (known) return { manual: `run as root: ${COMMANDS[known]}` };
  return {
    manual: "install the Vulkan loader and Mesa's lavapipe driver with this system's package manager",
  };
}

/** The mirror that bookworm's main part comes from, or null where backports are configured already. */
function backportsSource(sources) {
  if (/^[^#\n]*\bbookworm-backports\b/m.test(sources)) return null;
  for (const stanza of sources.split(/\n\s*\n/)) {
    const line = /^deb\s+(?:\[(.*?)\]\s+)?(\S+\/debian\/?)\s+bookworm\s.*\bmain\b/m.exec(stanza);
    if (line) return { uri: line[2], signedBy: /signed-by=(\S+)/.exec(line[1] ?? "")?.[1] ?? null };
    const uri = /^URIs:\s*(\S+\/debian\/?)(?:\s|$)/m.exec(stanza)?.[1];
    const main = /^Suites:(?:.*\s)?bookworm(?:\s|$)/m.test(stanza) && /^Components:.*\bmain\b/m.test(stanza);
    if (uri && main) return { uri, signedBy: /^Signed-By:\s*(\/\S+)/m.exec(stanza)?.[1] ?? null };
  }
  return { uri: "http://deb.debian.org/debian", signedBy: null };
}

/** On standard error, so that a script's own output stays its own. */
const say = (sentence) => console.error(`setup: ${sentence}`);

const read = (file) => {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
};

function marksOfContainer() {
  const detected =
    spawnSync("systemd-detect-virt", ["--container"], { encoding: "utf8" }).stdout?.trim() ?? "";
  return {
    files: ["/.dockerenv", "/run/.containerenv"].filter((f) => existsSync(f)),
    env: process.env,
    cgroup: read("/proc/1/cgroup"),
    systemd: detected === "none" ? "" : detected || read("/run/systemd/container").trim(),
    init: read("/proc/1/comm").trim(),
  };
}

function aptSources() {
  const folder = "/etc/apt/sources.list.d";
  const more = existsSync(folder) ? readdirSync(folder).sort() : [];
  const files = more.filter((f) => /\.(list|sources)$/.test(f)).map((f) => join(folder, f));
  return ["/etc/apt/sources.list", ...files].map(read).join("\n\n");
}

/**
 * Asks Dawn in a process of its own, which a broken driver may crash, on the project's Node where it is installed.
 * @returns {{ usable: boolean, name: string, problem: string }}
 */
function probe() {
  const own = join(ROOT, "node_modules/.bin/node");
  const { status, stdout } = spawnSync(existsSync(own) ? own : process.execPath, [SCRIPT, "--probe"], {
    encoding: "utf8",
    timeout: 30_000,
    // Mesa complains where there is no such folder.
    env: { ...process.env, XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? "/tmp" },
  });
  const [kind, text = ""] = (stdout ?? "").trim().split("\t");
  if (status === 0 && kind === "adapter") return { usable: true, name: text, problem: "" };
  return { usable: false, name: "", problem: kind === "problem" ? text : "" };
}

/** The child's part: prints what it found and leaves at once, because Dawn may hold the process open. */
async function answerProbe() {
  const answer = (kind, text, code) => process.stdout.write(`${kind}\t${text}\n`, () => process.exit(code));
  let create;
  try {
    ({ create } = await import("webgpu"));
  } catch (error) {
    const how = "run npm ci without leaving out optional packages";
    const [reason] = String(error?.message).split("\n");
    return answer("problem", `the package "webgpu" could not be loaded (${reason}): ${how}`, 1);
  }
  try {
    const gpu = create([]);
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
    const device = await adapter?.requestDevice();
    if (!device) return answer("none", "", 1);
    const { description, device: model, vendor } = adapter.info;
    // Naming `gpu` here keeps it, and with it the device, from being collected before this line.
    return answer("adapter", description || model || vendor || String(gpu), 0);
  } catch {
    return answer("none", "", 1);
  }
}

/** Runs apt-get and returns its complaints, such as mirrors that did not answer; throws where it fails. */
function apt(...args) {
  const options = ["-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=2"];
  const { status, stdout, stderr, error } = spawnSync("apt-get", ["-qq", ...options, ...args], {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  if (status === 0) return stderr.trim();
  const reason = error?.message ?? `${stdout}\n${stderr}`.trim().split("\n").slice(-3).join("\n");
  throw new Error(`apt-get ${args.join(" ")} failed: ${reason}`);
}

/** Carries out a plan of apt packages; a failure takes back the source that was added. */
function installWithApt({ apt: packages, backports }) {
  if (backports) {
    const signed = backports.signedBy ? `Signed-By: ${backports.signedBy}\n` : "";
    writeFileSync(
      BACKPORTS,
      `Types: deb\nURIs: ${backports.uri}\nSuites: bookworm-backports\nComponents: main\n${signed}`,
    );
    say(`added ${BACKPORTS}, because bookworm's own Mesa is too old.`);
  }
  let complaints = "";
  try {
    complaints = apt("update");
    for (const names of packages) apt("install", "-y", "--no-install-recommends", ...names);
  } catch (error) {
    if (backports) rmSync(BACKPORTS);
    throw new Error([error.message, ...complaints.split("\n").slice(0, 1)].filter(Boolean).join("\n"));
  }
}

/** The usual reason why an installed driver is not seen. */
function hiddenDrivers() {
  const name = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].find((n) => process.env[n]);
  return name ? ` (${name} is set to ${process.env[name]}, which hides other drivers)` : "";
}

/** Installs and probes again; true when there is an adapter afterwards. */
function install(why) {
  const plan = installPlan(read("/etc/os-release"), aptSources());
  if ("manual" in plan) {
    say(`no usable Vulkan adapter, and nothing that can be installed from here: ${plan.manual}.`);
    return false;
  }
  say(`no usable Vulkan adapter; installing Mesa's software one (${why}) …`);
  try {
    installWithApt(plan);
  } catch (error) {
    say(error.message);
    return false;
  }
  const { usable, name } = probe();
  if (usable) say(`installed. The adapter is now ${name}.`);
  else say(`installed, but there is still no usable adapter${hiddenDrivers()}.`);
  return usable;
}

function main(args) {
  const unknown = args.find((a) => a !== "--system");
  if (unknown !== undefined) {
    say(`${unknown} is no option; the only one is --system, which installs Mesa's software Vulkan driver.`);
    return 2;
  }
  const system = args.includes("--system");
  const { platform, env } = process;
  const found =
    platform === "linux" ? probe() : { usable: true, name: `the one of ${platform}`, problem: "" };
  const root = process.getuid?.() === 0;
  const container = !found.usable && isContainer(marksOfContainer());
  const ci = env.CI === "true";
  if (found.problem) {
    say(`${found.problem}.`);
    return system ? 1 : 0;
  }
  switch (decide({ platform, usable: found.usable, root, container, ci, system })) {
    case "nothing":
      if (system) say(`nothing to install, the adapter is ${found.name}.`);
      return 0;
    case "install": {
      const why = system ? "--system" : `as root ${container ? "in a container" : "under CI=true"}`;
      return install(why) || !system ? 0 : 1;
    }
    case "needs-root":
      say(`--system installs packages and needs root: sudo ${process.execPath} ${SCRIPT} --system`);
      return 1;
    default:
      say(
        "no usable Vulkan adapter here, and nothing was changed. Install your GPU's Vulkan driver, or, as root,",
      );
      say("Mesa's software one with this command: npm run setup -- --system");
      return 0;
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  if (process.argv[2] === "--probe") await answerProbe();
  else process.exitCode = main(process.argv.slice(2));
}
