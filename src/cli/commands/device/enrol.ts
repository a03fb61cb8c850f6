import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { Refusal, unreadableFile } from '../../../core/refusal/index.ts';
import { parseConfig } from '../../../device/agent/index.ts';
import { places } from '../../../device/host/index.ts';
import { nodeDisk } from '../../../device/store/index.ts';
import {
  decodeBundle,
  type EnrolmentBundle,
  type EnrolmentPath,
  maxBundleBytes,
} from '../../../wire/enrolment/index.ts';
import { examineRoot, fingerprintOf, formatFingerprint } from '../../../wire/trust/openpgp.ts';
import type { Context } from '../../context.ts';
import { type Enrolled, makeDirectories, placeEnrolment } from '../../enrol-tree.ts';
import { unbroken } from '../../terminal.ts';
import { removeKey, sealNewKey, storeKey } from './key.ts';

export interface EnrolFlags {
  /** Absent: this machine. */
  readonly root?: string;
  /** False with --no-key. */
  readonly key: boolean;
}

/** `wherry enrol` */
export async function enrol(context: Context, file: string, flags: EnrolFlags): Promise<void> {
  const bytes = await readBundle(file);
  await enrolFrom(context, decodeBundle(bytes), flags);
}

/**
 * Enrols this machine, or the tree of another one below `root`, with all files of the bundle or
 * none.
 *
 * @throws Refusal `input-invalid` when it is enrolled otherwise already, or the bundle is
 *   inconsistent; `device-unsupported` without root, or when the key cannot be sealed
 */
export async function enrolFrom(context: Context, bundle: EnrolmentBundle, flags: EnrolFlags): Promise<void> {
  const trusts = await checkBundle(context, bundle);
  const { root } = flags;
  const outcome =
    root === undefined
      ? await enrolThisDevice(context, bundle, flags.key)
      : await place(context, root, flags.key ? withFirstBootKey(bundle) : bundle.files);
  const { fleet, device } = bundle;
  const { terminal } = context;
  if (context.json) {
    terminal.out(JSON.stringify({ fleet, device, outcome, trusts }));
    return;
  }
  const where = root === undefined ? 'this device' : root;
  if (outcome === 'unchanged') {
    terminal.out(`${where} is ${device} of fleet ${fleet} already, with these very files`);
    return;
  }
  terminal.out(`${where} is ${device} of fleet ${fleet}; it trusts ${trusts}`);
  if (root !== undefined) return;
  if (flags.key) terminal.out('show its key to the operator: "wherry key show"');
  terminal.out('start it: "systemctl start wherryd"');
}

async function readBundle(file: string): Promise<Uint8Array> {
  try {
    if ((await stat(file)).size <= maxBundleBytes) return await readFile(file);
  } catch (cause) {
    throw unreadableFile(`the bundle ${file}`, cause);
  }
  throw new Refusal('input-invalid', `${file} is too large for an enrolment bundle`);
}

/** Refuses now what the device would refuse later. @returns what it will trust, in words */
export async function checkBundle(
  context: Context,
  { fleet, device, files }: EnrolmentBundle,
): Promise<string> {
  const text = (path: EnrolmentPath): string => Buffer.from(files.get(path) ?? []).toString();
  const config = parseConfig(text('/etc/wherry/wherry.toml'));
  if (config.fleet !== fleet || config.device !== device)
    throw new Refusal('input-invalid', `the bundle is for ${device} and configures ${config.device}`);
  for (const path of [config.broker.ca, config.broker.cert, config.broker.key, config.broker.passwordFile]) {
    if (path === undefined || files.has(path as EnrolmentPath)) continue;
    throw new Refusal('input-invalid', `wherry.toml names ${path}, which the bundle does not hold`);
  }
  const root = files.get('/etc/wherry/trust/root.cbor');
  if (root !== undefined) {
    const time = { nowSeconds: Math.floor(context.clock.nowMs() / 1000), clockTrusted: false };
    const { root: document } = await examineRoot(root, { fleet, time });
    return `root ${document.version}`;
  }
  const fingerprint = await fingerprintOf(text('/etc/wherry/trust/deploy/fleet.asc'));
  return `commands of ${formatFingerprint(fingerprint)}`;
}

async function enrolThisDevice(
  context: Context,
  { files }: EnrolmentBundle,
  wantsKey: boolean,
): Promise<Enrolled> {
  if (process.getuid?.() !== 0)
    throw new Refusal(
      'device-unsupported',
      'only root can enrol this device; give --root DIR for the tree of another one',
    );
  // Sealed before anything is written: when systemd-creds fails, there is nothing to undo.
  const key = wantsKey && !existsSync(places.deviceKey) ? await sealNewKey() : undefined;
  if (key === undefined) return await place(context, '/', files);
  return await unbroken(context.terminal, async () => {
    await storeKey(key);
    try {
      return await place(context, '/', files);
    } catch (error) {
      await removeKey();
      throw error;
    }
  });
}

async function place(
  { terminal }: Context,
  root: string,
  files: ReadonlyMap<EnrolmentPath, Uint8Array>,
): Promise<Enrolled> {
  return await unbroken(terminal, async () => {
    const unmake = await makeDirectories(root, files);
    try {
      return await placeEnrolment(nodeDisk(), root, files);
    } catch (error) {
      await unmake();
      throw error;
    }
  });
}

/** The key of a device is made on the device. In a tree, a unit makes it at the first boot. */
function withFirstBootKey({ files }: EnrolmentBundle): ReadonlyMap<EnrolmentPath, Uint8Array> {
  return new Map([
    ...files,
    ['/etc/systemd/system/wherry-key.service', Buffer.from(keyUnit)],
    [
      '/etc/systemd/system/wherryd.service.d/wherry-key.conf',
      Buffer.from('[Unit]\nWants=wherry-key.service\n'),
    ],
  ]);
}

const keyUnit = `[Unit]
Description=wherry: make the key of this device
Documentation=man:wherry(1)
ConditionPathExists=!${places.deviceKey}

[Service]
Type=oneshot
ExecStart=/usr/bin/wherry key init
`;
