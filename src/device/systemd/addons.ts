import { createRequire } from 'node:module';

/** Where the package puts the native addons (cross/README.md). */
const addonDirectory = '/usr/lib/wherry/addons';

/**
 * Loads a native addon that was built for this Node's ABI; undefined where there is none or it does
 * not fit, which must never stop the supervisor.
 */
export function loadAddon(name: 'journald' | 'notify', directory = addonDirectory): unknown {
  const path = `${directory}/${name}-abi${process.versions.modules}.node`;
  try {
    return createRequire(import.meta.url)(path) as unknown;
  } catch {
    return undefined;
  }
}
