// Types of the functions of setup.mjs that tests call; the script itself stays plain JavaScript, since it runs first.

export interface Facts {
  readonly platform: string;
  readonly usable: boolean;
  readonly root: boolean;
  readonly container: boolean;
  readonly ci: boolean;
  readonly system: boolean;
}

export interface Marks {
  readonly files: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cgroup: string;
  readonly systemd: string;
  readonly init: string;
}

export type Plan =
  | { readonly apt: string[][]; readonly backports: { uri: string; signedBy: string | null } | null }
  | { readonly manual: string };

export function decide(facts: Facts): "nothing" | "install" | "tell" | "needs-root";
export function isContainer(marks: Marks): boolean;
export function installPlan(osRelease: string, sources: string): Plan;
