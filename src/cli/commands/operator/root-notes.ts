import type { ChainedRoot } from '../../../operator/fleet/index.ts';
import type { DeviceReport } from '../../../wire/report/index.ts';
import type { Cell } from '../../format.ts';

/** The newest root of the fleet directory that devices would accept. */
function newestVersion(chain: readonly ChainedRoot[]): number | undefined {
  return chain.findLast(({ refusal }) => refusal === undefined)?.root.version;
}

/**
 * A note that a device is behind the newest root of the fleet directory, with what to do; undefined
 * when it is not.
 * @param chain the roots of the fleet directory, oldest first
 */
export function rootNote(
  device: string,
  { root }: Pick<DeviceReport, 'root'>,
  chain: readonly ChainedRoot[],
): string | undefined {
  const newest = newestVersion(chain);
  if (newest === undefined || (root !== undefined && root.version >= newest)) return undefined;
  const has = root === undefined ? 'no root' : `root ${root.version}`;
  const advice = isPublished(root?.version, newest, chain)
    ? 'publish it again with "wherry trust root publish"'
    : 'install it on the device with "wherry trust root install"';
  return `${device}: has ${has} of trust, and the newest of the fleet directory is root ${newest}; ${advice}`;
}

/** The version of the root that a device has, and of the newest one where that is a later one. */
export function rootCell({ root }: Pick<DeviceReport, 'root'>, chain: readonly ChainedRoot[]): Cell {
  const newest = newestVersion(chain);
  const has = root?.version ?? 0;
  const text = root === undefined ? 'none' : String(has);
  return newest !== undefined && has < newest ? { text: `${text} of ${newest}`, colour: 'yellow' } : { text };
}

/** Whether the broker can have every step: the first root of a chain goes to devices as a file. */
function isPublished(from: number | undefined, newest: number, chain: readonly ChainedRoot[]): boolean {
  if (from === undefined) return false;
  const steps = chain.filter(
    ({ root, before, refusal }) =>
      root.version > from && root.version <= newest && before !== undefined && refusal === undefined,
  );
  return steps.length === newest - from;
}

/**
 * Why a device that is enrolled now does not get what its operator may expect; undefined when the
 * newest root of the fleet directory is complete and valid, or there is none.
 */
export function enrolledRootNote(chain: readonly ChainedRoot[], nowSeconds: number): string | undefined {
  const [newest, last] = [chain.findLast(({ refusal }) => refusal === undefined), chain.at(-1)];
  if (last?.refusal !== undefined) {
    const instead = newest === undefined ? 'the keys of keys/ and no root' : `root ${newest.root.version}`;
    return `root ${last.root.version} is not complete (${last.refusal.message}): the device gets ${instead}`;
  }
  if (newest === undefined || newest.root.expires > nowSeconds) return undefined;
  return `root ${newest.root.version} has expired: the device takes no commands until it has a newer one; "wherry trust root rotate"`;
}
