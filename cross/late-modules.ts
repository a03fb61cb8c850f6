import { createRequire } from 'node:module';

import type { Plugin } from 'esbuild';

/**
 * Modules of Node that are loaded at their first use. They cannot be in a startup snapshot, and
 * each costs memory in a wherryd whose broker uses plain MQTT.
 */
const loadedLate = ['http', 'https', 'tls'];

/** The esbuild plugin that loads them late. */
export function lateModules(): Plugin {
  const namespace = 'wherry-late';
  const require = createRequire(import.meta.url);
  const names = loadedLate.join('|');
  return {
    name: namespace,
    setup(plugin) {
      plugin.onResolve({ filter: new RegExp(`^(node:)?(${names})$`) }, ({ path: name, namespace: from }) =>
        from === namespace ? { path: name, external: true } : { path: name.replace('node:', ''), namespace },
      );
      plugin.onLoad({ filter: /.*/, namespace }, ({ path: name }) => {
        const getters = Object.keys(require(`node:${name}`) as object)
          .map((key) => JSON.stringify(key))
          .map((key) => `get ${key}() { return require('node:${name}')[${key}]; }`);
        return { contents: `module.exports = { ${getters.join(', ')} };`, loader: 'js' };
      });
    },
  };
}
