// The set-up before npm test and npm start: when it may change a machine, and that it else only says what to do.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { decide, installPlan, isContainer } from "../../scripts/setup.mjs";

const person = { platform: "linux", usable: false, root: false, container: false, ci: false, system: false };

describe("decide", () => {
  it.each([
    ["a person's machine", {}, "tell"],
    ["a person who is root", { root: true }, "tell"],
    ["a container without root", { container: true }, "tell"],
    ["CI without root", { ci: true }, "tell"],
    ["root in a container", { root: true, container: true }, "install"],
    ["root under CI=true", { root: true, ci: true }, "install"],
    ["--system as root", { root: true, system: true }, "install"],
    ["--system without root", { system: true, container: true, ci: true }, "needs-root"],
    ["an adapter that works", { usable: true, root: true, container: true, ci: true }, "nothing"],
    ["--system with an adapter that works", { usable: true, root: true, system: true }, "nothing"],
    ["macOS", { platform: "darwin", root: true, ci: true }, "nothing"],
    ["Windows", { platform: "win32", system: true }, "nothing"],
  ] as const)("%s", (_name, facts, want) => {
    expect(decide({ ...person, ...facts })).toBe(want);
  });
});

describe("isContainer", () => {
  const bare = { files: [], env: {}, cgroup: "0::/init.scope\n", systemd: "", init: "systemd" };
  it.each([
    ["a desktop", {}, false],
    ["a desktop in WSL", { systemd: "wsl", init: "init", env: { WSL_DISTRO_NAME: "Ubuntu" } }, false],
    ["Docker inside WSL keeps its mark", { files: ["/.dockerenv"], init: "bash" }, true],
    ["a desktop with an unreadable /proc", { cgroup: "", init: "" }, false],
    ["Docker", { files: ["/.dockerenv"], init: "npm" }, true],
    ["Podman", { env: { container: "podman" } }, true],
    ["Kubernetes", { env: { KUBERNETES_SERVICE_HOST: "10.0.0.1" } }, true],
    ["control groups of version 1", { cgroup: "5:devices:/docker/0123abcd\n" }, true],
    ["LXC with an init system", { systemd: "lxc" }, true],
    ["a sandbox whose first process is a program", { init: "agent" }, true],
  ])("%s", (_name, marks, want) => {
    expect(isContainer({ ...bare, ...marks })).toBe(want);
  });
});

describe("installPlan", () => {
  const bookworm = 'NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n';
  const deb822 =
    "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /usr/share/keyrings/d.gpg\n";
  const mesa = ["-t", "bookworm-backports", "mesa-vulkan-drivers"];

  it("takes bookworm's Mesa from backports on the mirror that is configured", () => {
    const security = deb822.replaceAll("bookworm", "bookworm-security");
    const stranger = "deb [signed-by=/k.gpg] https://download.test/linux/debian bookworm stable\n";
    expect(installPlan(bookworm, `${stranger}\n${security}\n\n${deb822}`)).toEqual({
      apt: [["libvulkan1"], mesa],
      backports: { uri: "http://mirror.test/debian", signedBy: "/usr/share/keyrings/d.gpg" },
    });
    const oneLine =
      "# deb http://a.test/debian bookworm main\ndeb [arch=amd64 signed-by=/d.gpg] http://b.test/debian/ bookworm main contrib\n";
    expect(installPlan(bookworm, oneLine)).toMatchObject({
      backports: { uri: "http://b.test/debian/", signedBy: "/d.gpg" },
    });
    expect(installPlan(bookworm, "")).toMatchObject({ backports: { uri: "http://deb.debian.org/debian" } });
  });

  it("adds no source where backports are configured, but for a comment", () => {
    const line = "deb http://b.test/debian bookworm-backports main";
    expect(installPlan(bookworm, `${deb822}\n\n${line}`)).toEqual({
      apt: [["libvulkan1"], mesa],
      backports: null,
    });
    expect(installPlan(bookworm, `${deb822}\n\n# ${line}`)).toMatchObject({
      backports: { uri: "http://mirror.test/debian" },
    });
  });

  it.each([
    ["Debian 13", 'ID=debian\nVERSION_ID="13"\n'],
    ["Debian testing", "ID=debian\n"],
    ["Ubuntu", 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n'],
    ["Mint", 'ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="22"\n'],
  ])("%s has it in its own packages", (_name, release) => {
    expect(installPlan(release, "")).toEqual({
      apt: [["libvulkan1", "mesa-vulkan-drivers"]],
      backports: null,
    });
  });

  it.each([
    ["Debian 11", 'ID=debian\nVERSION_ID="11"\n', "Debian 12"],
    ["Fedora", "ID=fedora\nVERSION_ID=42\n", "dnf install"],
    ["Rocky", 'ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install"],
    ["Arch", "ID=arch\n", "pacman -S"],
    ["openSUSE", 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "zypper install"],
    ["something else", "ID=plan9\n", "package manager"],
  ])("%s: a person is told what to install", (_name, release, want) => {
    expect(installPlan(release, "")).toEqual({ manual: expect.stringContaining(want) });
  });
});

describe.runIf(process.platform === "linux")("scripts/setup.mjs", () => {
  const script = fileURLToPath(new URL("../../scripts/setup.mjs", import.meta.url));
  // WSL_DISTRO_NAME makes any machine a person's, so that this installs nothing wherever it runs.
  const hidden = {
    VK_DRIVER_FILES: "/nonexistent",
    VK_ICD_FILENAMES: "/nonexistent",
    WSL_DISTRO_NAME: "test",
  };
  const run = (args: string[], env: Record<string, string>) => {
    const all = { ...process.env, CI: "", ...env };
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { env: all });
    return { status, out: stdout.toString(), err: stderr.toString() };
  };

  it("without an adapter on a person's machine changes nothing, names the command and lets the script go on", () => {
    expect(run([], hidden)).toEqual({
      status: 0,
      out: "",
      err: expect.stringMatching(/nothing was changed.*\n.*npm run setup -- --system\n$/),
    });
  });

  it("with an adapter prints nothing", (context) => {
    const { status, out } = run(["--probe"], {});
    if (status !== 0) context.skip("not run: there is no usable adapter here");
    expect(out).toMatch(/^adapter\t\S/);
    expect(run([], {})).toEqual({ status: 0, out: "", err: "" });
  });

  it("refuses an option it does not know", () => {
    expect(run(["--sistem"], hidden)).toMatchObject({
      status: 2,
      err: expect.stringContaining("--sistem is no option"),
    });
  });
});
