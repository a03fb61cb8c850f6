import { existsSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import path from 'node:path';

import type { Plugin } from 'esbuild';

/**
 * Parts of dependencies that no process of wherry uses are left out of the bundle. Code that needs
 * such a part throws an error that names it.
 */

/** Another module with the same interface. */
interface Replaced {
  readonly by: 'source';
  readonly source: string;
}

/** A module without the part: a call throws an error that names the missing `what`. */
interface Refused {
  readonly by: 'refusal';
  readonly what: string;
}

type Replacement = Replaced | Refused;

/** By the name under which a module is imported. */
const modules: Readonly<Record<string, Replacement>> = {
  // A copy of Node's own streams for browsers and old Nodes: 100 KB.
  'readable-stream': { by: 'source', source: `module.exports = require('node:stream');` },
  // Reads DEBUG from the environment and formats for terminals; journald has the log.
  debug: {
    by: 'source',
    source: `const quiet = () => {}; quiet.enabled = false; quiet.extend = () => quiet; module.exports = () => quiet;`,
  },
  // Node's own loads eight modules, to show how two values differ. The D-Bus codec and the proxy
  // agent use only these two functions.
  assert: {
    by: 'source',
    source: `const assert = (value, message) => { if (!value) throw new Error(message ?? 'assertion failed'); };
      assert.equal = (one, other, message) => assert(one == other, message);
      module.exports = assert;`,
  },
  // Chooses the native library of SQLite by the C library. Node's report, which the original reads,
  // also resolves the addresses of open connections. The package has the library for Debian's.
  '@neon-rs/load': {
    by: 'source',
    source: `exports.currentTarget = () => 'linux-' + process.arch + (process.arch === 'arm' ? '-gnueabihf' : '-gnu');`,
  },
  'detect-libc': { by: 'source', source: `exports.GLIBC = 'glibc'; exports.familySync = () => 'glibc';` },
  // Requires a native module that devices do not have.
  'proxy-agent-negotiate': { by: 'refusal', what: 'Kerberos at a proxy' },
  // Timers for browser tabs in the background, with Babel's runtime.
  'worker-timers': { by: 'refusal', what: 'worker timers' },
};

/** By path below node_modules, for parts of a package. */
const files: Readonly<Record<string, Replacement>> = {
  'mqtt/build/lib/connect/ws.js': { by: 'refusal', what: 'MQTT over WebSocket' },
  // Only the client of WebSocket is used, without compression.
  'ws/lib/websocket-server.js': { by: 'refusal', what: 'a server of WebSocket' },
  'ws/lib/subprotocol.js': { by: 'refusal', what: 'a server of WebSocket' },
  'ws/lib/extension.js': { by: 'refusal', what: 'an extension of WebSocket' },
  'ws/lib/event-target.js': { by: 'refusal', what: 'the interface of browsers to WebSocket' },
  'ws/lib/permessage-deflate.js': {
    by: 'source',
    source: `module.exports = class PerMessageDeflate { static extensionName = 'permessage-deflate' };`,
  },
  // 18 KB of character names. The names of XML are enough for an address in a page.
  'entities/dist/generated/decode-data-html.js': {
    by: 'source',
    source: `export { xmlDecodeTree as htmlDecodeTree } from './decode-data-xml.js';`,
  },
  'mqtt/build/lib/connect/wx.js': { by: 'refusal', what: 'MQTT over WeChat' },
  'mqtt/build/lib/connect/ali.js': { by: 'refusal', what: 'MQTT over Alipay' },
  // wherry sends no topic aliases, whatever number the broker accepts.
  'mqtt/build/lib/topic-alias-send.js': {
    by: 'source',
    source: `exports.__esModule = true; exports.default = class TopicAliasSend { clear() {} };`,
  },
  // Requires pg-native.
  'pg/lib/native/index.js': { by: 'refusal', what: 'the native client of PostgreSQL' },
  'mqtt/build/lib/connect/socks.js': { by: 'refusal', what: 'MQTT over SOCKS' },
};

/** A module whose every export is a function that throws; loading it is harmless. */
function refusingModule(what: string): string {
  const message = JSON.stringify(`${what} is not part of this build of wherry`);
  return [
    `const refuse = function () { throw new Error(${message}); };`,
    // CommonJS interop reads __esModule and needs the true value.
    `module.exports = new Proxy(refuse, { get: (_, name) => (name === '__esModule' ? true : refuse) });`,
  ].join('\n');
}

/** The esbuild plugin that applies the tables. */
export function dependencyDiet(): Plugin {
  const namespace = 'wherry-diet';
  const sourceOf = (replacement: Replacement) =>
    replacement.by === 'source' ? replacement.source : refusingModule(replacement.what);
  return {
    name: namespace,
    setup(build) {
      const escape = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&');
      const named = new RegExp(`^(${Object.keys(modules).map(escape).join('|')})$`);
      build.onResolve({ filter: named }, ({ path: name }) => ({ path: name, namespace }));
      build.onLoad({ filter: /.*/, namespace }, ({ path: name }) => {
        const replacement = modules[name];
        if (replacement === undefined) return undefined;
        return { contents: sourceOf(replacement), loader: 'js' };
      });
      // By the end of the path, since node_modules may be a symbolic link that esbuild has
      // resolved.
      const filed = new RegExp(`/node_modules/(${Object.keys(files).map(escape).join('|')})$`);
      build.onLoad({ filter: filed }, ({ path: file }) => {
        const replacement = files[filed.exec(file)?.[1] ?? ''];
        if (replacement === undefined) return undefined;
        return { contents: sourceOf(replacement), loader: 'js', resolveDir: path.dirname(file) };
      });
    },
  };
}

/**
 * The rows of the tables that name a part which the installed packages no longer have. Such a row
 * has no effect, so an update of a dependency would undo its part of the diet.
 */
export function staleDiet(nodeModules: string): readonly string[] {
  return [...Object.keys(modules), ...Object.keys(files)].filter(
    (row) => !isBuiltin(row) && !existsSync(path.join(nodeModules, row)),
  );
}
