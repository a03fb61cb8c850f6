import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fromFile, isRefusal, Refusal, unreadableFile } from '../../../core/refusal/index.ts';
import { makeDirectory } from '../../../core/files/index.ts';
import { parseConfig } from '../../../device/agent/index.ts';
import { nodeDisk, storedCopies, writeDurable } from '../../../device/store/index.ts';
import { claimedFleet, claimedRootVersion, decodeEnvelope } from '../../../wire/trust/index.ts';
import { examineRoot, formatFingerprint } from '../../../wire/trust/openpgp.ts';
import type { Context } from '../../context.ts';
import { unbroken } from '../../terminal.ts';

export interface InstallFlags {
  readonly directory: string;
  readonly yes?: true;
}

/**
 * `wherry trust root install`: the root's right on a device. wherryd takes the file if its version
 * is later than that of the root that it trusts, whoever signed that.
 */
export async function installRoot(context: Context, file: string, flags: InstallFlags): Promise<void> {
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw unreadableFile(`the root ${file}`, cause);
  });
  const { payload } = fromFile(file, 'a signed root of trust', () => decodeEnvelope(bytes));
  const { directory } = flags;
  const path = join(directory, 'root.cbor');
  // wherryd would not use these files. Without another root it would then obey nobody.
  const fleet = (await fleetOf(directory)) ?? claimedFleet(payload) ?? '';
  await requireLater(path, payload);
  const nowSeconds = Math.floor(context.clock.nowMs() / 1000);
  const time = { nowSeconds, clockTrusted: false };
  const copies = storedCopies({ local: directory });
  const { root, signedBy } = await examineRoot(bytes, { fleet, time, copies });
  const { terminal } = context;
  const expires = new Date(root.expires * 1000).toISOString();
  if (root.expires <= nowSeconds)
    terminal.err(`note: root ${root.version} has expired: with it a device takes no commands\n`);
  if (flags.yes !== true) {
    const lines = [
      `root ${root.version} of fleet ${root.fleet}, until ${expires}, signed by`,
      ...signedBy.map(formatFingerprint),
    ];
    terminal.err(`${lines.join('\n')}\n`);
    if (terminal.ask === undefined)
      throw new Refusal(
        'usage',
        'there is no terminal to confirm on; compare the fingerprints and give --yes',
      );
    const answer = await terminal.ask('Trust it for everything on this device? [y/N] ');
    if (!/^y(es)?$/i.test(answer.trim())) throw new Refusal('usage', 'the root was not installed');
  }
  await unbroken(terminal, async () => {
    await makeDirectory(directory);
    await writeDurable(nodeDisk(), path, bytes);
  });
  if (context.json)
    terminal.out(JSON.stringify({ file: path, fleet: root.fleet, version: root.version, signedBy }));
  else
    terminal.out(
      `root ${root.version} is in ${path}; wherryd takes it with the next command or restart, unless it trusts a later one`,
    );
}

/** The fleet of the device or the tree whose store this is; undefined where it has none. */
async function fleetOf(directory: string): Promise<string | undefined> {
  try {
    return parseConfig(await readFile(join(dirname(directory), 'wherry.toml'), 'utf8')).fleet;
  } catch {
    return undefined; // a device may be enrolled later, and wherryd reports a wrong file
  }
}

/** @throws Refusal `root-older`, `root-conflict` */
async function requireLater(path: string, payload: Uint8Array): Promise<void> {
  const present = await nodeDisk().read(path, 1 << 20);
  if (present === undefined) return;
  let installed: Uint8Array;
  try {
    installed = decodeEnvelope(present).payload;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return; // not usable: replaced
  }
  const [old, next] = [claimedRootVersion(installed) ?? 0, claimedRootVersion(payload) ?? 0];
  if (next < old) throw new Refusal('root-older', `${path} is root ${old}, and this is root ${next}`);
  if (next === old && Buffer.compare(installed, payload) !== 0)
    throw new Refusal(
      'root-conflict',
      `${path} is root ${old} with other content; remove it first if it is wrong`,
    );
}
