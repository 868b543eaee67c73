// Headless Chromium on its own software GPU (SwiftShader), a little server for the page, and where SwiftShader lies,
// so that Node can be given the same driver.

import { existsSync, realpathSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, extname, join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";

const CHROMIUM = process.env.THAW_CHROMIUM ?? "/usr/bin/chromium";

/** Why the browser tests cannot run here, or null. */
export const NO_CHROMIUM = existsSync(CHROMIUM)
  ? null
  : `not run: there is no Chromium at ${CHROMIUM} (THAW_CHROMIUM may name another)`;

/** The description of Chromium's SwiftShader for the Vulkan loader, beside the program (Debian's /usr/bin one is a script). */
export const SWIFTSHADER = NO_CHROMIUM
  ? undefined
  : [dirname(realpathSync(CHROMIUM)), "/usr/lib/chromium"]
      .map((folder) => join(folder, "vk_swiftshader_icd.json"))
      .find((file) => existsSync(file));

/** A host that leads here but is not localhost, so that its pages are not secure. */
export const INSECURE_HOST = "insecure.test";

export function launch(...more: readonly string[]): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--no-sandbox",
      "--enable-unsafe-webgpu",
      "--use-webgpu-adapter=swiftshader",
      "--disable-background-networking",
      `--host-resolver-rules=MAP ${INSECURE_HOST} 127.0.0.1`,
      ...more,
    ],
  });
}

const TYPES: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript" };

/** Serves these contents by path on a free port of 127.0.0.1. */
export async function serve(contents: Readonly<Record<string, string | Uint8Array>>) {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    const type = TYPES[extname(path)] ?? "application/octet-stream";
    response.writeHead(path in contents ? 200 : 404, { "content-type": type });
    response.end(contents[path] ?? "");
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return { port, close: () => server.close() };
}

/**
 * Runs the body of an async function in the page, with `thaw`, the bundle, in scope, and returns what it returns. It is
 * text because the test runner rewrites the imports of functions.
 */
export function inPage<T>(page: Page, body: string): Promise<T> {
  return page.evaluate(`(async () => { const thaw = await import("/thaw.js"); ${body} })()`) as Promise<T>;
}
