/** Where the package puts the native addons (cross/README.md). */
const addonDirectory = '/usr/lib/wherry/addons';

/**
 * Loads a native addon that was built for this Node's ABI; undefined if there is none or it does
 * not fit, which must never stop the supervisor.
 */
export function loadAddon(name: 'journald' | 'notify', directory = addonDirectory): unknown {
  const path = `${directory}/${name}-abi${process.versions.modules}.node`;
  try {
    // Node's createRequire would load the whole of its loader for ES modules.
    const module: { exports: unknown } = { exports: {} };
    process.dlopen(module, path);
    return module.exports;
  } catch {
    return undefined;
  }
}
