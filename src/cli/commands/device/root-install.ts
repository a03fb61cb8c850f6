import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromFile, Refusal } from '../../../core/refusal/index.ts';
import { makeDirectory } from '../../../core/files/index.ts';
import { nodeDisk, writeDurable } from '../../../device/store/index.ts';
import { claimedFleet, decodeEnvelope } from '../../../wire/trust/index.ts';
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
    throw new Refusal('not-found', `the root ${file} cannot be read`, { cause });
  });
  const { payload } = fromFile(file, 'a signed root of trust', () => decodeEnvelope(bytes));
  const fleet = claimedFleet(payload) ?? '';
  const time = { nowSeconds: Math.floor(context.clock.nowMs() / 1000), clockTrusted: false };
  const { root, signedBy } = await examineRoot(bytes, { fleet, time });
  const { terminal } = context;
  if (flags.yes !== true) {
    const lines = [
      `root ${root.version} of fleet ${root.fleet}, signed by`,
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
  const path = join(flags.directory, 'root.cbor');
  await unbroken(terminal, async () => {
    await makeDirectory(flags.directory);
    await writeDurable(nodeDisk(), path, bytes);
  });
  if (context.json)
    terminal.out(JSON.stringify({ file: path, fleet: root.fleet, version: root.version, signedBy }));
  else terminal.out(`root ${root.version} is in ${path}; wherryd takes it with the next command or restart`);
}
