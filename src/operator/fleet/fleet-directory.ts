import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { inDirectory } from '../../core/files/index.ts';
import { type WholeFile, writeFiles, writeOutput } from '../build/index.ts';
import { fromFile, Refusal, unreadableFile } from '../../core/refusal/index.ts';
import { deviceTopics, groupTopic } from '../../wire/report/index.ts';
import type { BrokerAddress } from '../../wire/mqtt/index.ts';
import {
  exists,
  keyFiles,
  type KeyPair,
  type KeyRole,
  listed,
  readText,
  replaceFile,
} from './fleet-files.ts';
import { fleetConfigText, parseFleetConfig, type FleetConfig, type NewFleetConfig } from './fleet-config.ts';
import { decodeEnvelope } from '../../wire/trust/index.ts';
import { type PinnedKey, requireDeviceKey } from './device-key-file.ts';
import { readDraft, type RootDraft } from './root-drafts.ts';
import type { OfferedImage } from './offered-image.ts';

/**
 * The outcome of a version, as far as the operator's side has seen it. `unsent`: the broker did not
 * acknowledge it.
 */
export type KnownOutcome = 'committed' | 'rolled-back' | 'refused' | 'superseded' | 'unsent';

export interface PublishedVersion {
  readonly version: number;
  /** Undefined when nobody waited for the device's answer. */
  readonly outcome?: KnownOutcome;
}

/**
 * A fleet as files, to be kept under version control without the private keys:
 *
 * ``` fleet.toml keys/{deploy,images}.key.asc private, mode 0600 keys/{deploy,images}.pub.asc for
 *   devices images/<name>-<digest>.aci and .asc: what the image server offers; never changed once
 *   there keys/devices/<device>.asc public, to encrypt commands to certificates/<device>.pem the
 *   newest that was made for its broker, to be renewed keys/secrets.key the key from which salts of
 *   secrets are derived, mode 0600 devices/<device>/<version>.cbor the exact message that was
 *   published devices/<device>/<version>.plain-<digest>.cbor its envelope, if that message is
 *   encrypted devices/<device>/<version>.outcome one word groups/<group>/… the same for the
 *   commands of groups roots/<version>.cbor the root of trust, with the signatures that were
 *   collected
 * ```
 */
export class FleetDirectory {
  readonly path: string;
  readonly config: FleetConfig;

  private constructor(path: string, config: FleetConfig) {
    this.path = path;
    this.config = config;
  }

  /**
   * @throws Refusal `not-found` when `path` holds no fleet, `config-invalid` when its `fleet.toml`
   *   is wrong
   */
  static async open(path: string): Promise<FleetDirectory> {
    const file = join(path, 'fleet.toml');
    const toml = await readText(file, `${path} is not a fleet directory; make one with "wherry fleet init"`);
    return new FleetDirectory(resolve(path), parseFleetConfig(toml));
  }

  /**
   * Makes the directory, its `fleet.toml` and its keys. A failure leaves nothing that it made.
   * @throws Refusal `input-invalid` when there is one or a value does not fit
   */
  static async init(
    path: string,
    options: NewFleetConfig,
    keys: Partial<Readonly<Record<KeyRole, KeyPair>>> = {},
  ): Promise<FleetDirectory> {
    const content = fleetConfigText(options);
    parseFleetConfig(content);
    const files = [
      { path: join(path, 'fleet.toml'), content, whenThere: `${path} holds a fleet already` },
      ...Object.entries(keys).flatMap(([role, pair]) => keyFiles(path, role as KeyRole, pair)),
    ];
    const withKeys = () => inDirectory(join(path, 'keys'), () => writeFiles(files), 0o700);
    await inDirectory(join(path, 'images'), () => inDirectory(join(path, 'devices'), withKeys));
    return await FleetDirectory.open(path);
  }

  get imagesPath(): string {
    return join(this.path, 'images');
  }

  keyPath(role: KeyRole, half: 'private' | 'public'): string {
    return join(this.path, 'keys', `${role}.${half === 'private' ? 'key' : 'pub'}.asc`);
  }

  /** @throws Refusal `not-found` */
  async key(role: KeyRole, half: 'private' | 'public'): Promise<string> {
    const missing = `there is no ${half} ${role} key; make one with "wherry keys new ${role}"`;
    return await readText(this.keyPath(role, half), missing);
  }

  /**
   * The public half, if there is one. It may hold more than the private one, for example a
   * revocation.
   */
  async copiesOf(role: KeyRole): Promise<readonly string[]> {
    const path = this.keyPath(role, 'public');
    return (await exists(path)) ? [await readText(path, `there is no ${path}`)] : [];
  }

  /**
   * Stores a new pair of keys; an existing pair is kept as `<name>.old`.
   * @throws Refusal `input-invalid` when there is one and it must not be replaced
   */
  async saveKeys(role: KeyRole, pair: KeyPair, { replace }: { readonly replace: boolean }): Promise<void> {
    const files = keyFiles(this.path, role, pair);
    const old: WholeFile[] = [];
    for (const { path, mode } of replace ? files : [])
      if (await exists(path)) old.push({ path: `${path}.old`, content: await readFile(path), mode });
    const all = replace ? files.map(({ whenThere: _, ...file }) => file) : files;
    await this.#write('keys', [...all, ...old], 0o700);
  }

  /**
   * The public key of a device as the operator has pinned it; undefined when there is none.
   * @throws Refusal `input-invalid` for a file without such a key
   */
  async deviceKey(device: string): Promise<PinnedKey | undefined> {
    const path = this.#deviceKeyPath(device);
    if (!(await exists(path))) return undefined;
    const armored = await readText(path, `there is no ${path}`);
    return { armored, fingerprint: await requireDeviceKey(armored, path) };
  }

  /**
   * Pins the key of a device.
   * @throws Refusal `input-invalid` when another one is pinned and it must not be replaced
   */
  async pinDeviceKey(
    device: string,
    armored: string,
    options: { readonly replace: boolean },
  ): Promise<string> {
    const path = this.#deviceKeyPath(device);
    const pinned = (await exists(path)) ? await readText(path, `there is no ${path}`) : armored;
    if (pinned !== armored && !options.replace) {
      throw new Refusal(
        'input-invalid',
        `another key of ${device} is known, ${path}; replace it (--replace) only if that device was set up again and showed you the new one`,
      );
    }
    await this.#write(join('keys', 'devices'), [{ path, content: armored }], 0o700);
    return path;
  }

  /** Names of the devices whose keys are pinned. */
  async devicesWithKeys(): Promise<readonly string[]> {
    const names = await listed(join(this.path, 'keys', 'devices'));
    return names.flatMap((name) => /^(.*)\.asc$/.exec(name)?.[1] ?? []).sort();
  }

  /** The newest client certificate of a device; undefined when none was made from here. */
  async certificate(device: string): Promise<string | undefined> {
    const path = this.#certificatePath(device);
    return (await exists(path)) ? await readText(path, `there is no ${path}`) : undefined;
  }

  /** @param hand hands it over, before it takes its name here; if that fails, it does not */
  async saveCertificate(device: string, pem: Uint8Array, hand: () => Promise<void>): Promise<void> {
    const path = this.#certificatePath(device);
    const write = (whole: string) => writeFile(whole, pem).then(hand);
    await inDirectory(join(this.path, 'certificates'), () => writeOutput(path, write));
  }

  /** The secret key of 32 bytes for salts; undefined when there is none. */
  async saltKey(): Promise<Uint8Array | undefined> {
    const path = join(this.path, 'keys', 'secrets.key');
    if (!(await exists(path))) return undefined;
    const key = Buffer.from((await readText(path, `there is no ${path}`)).trim(), 'hex');
    if (key.length !== 32) throw new Refusal('input-invalid', `${path} is not a key of 32 bytes in hex`);
    return key;
  }

  /** @throws Refusal `input-invalid` when another command has made one meanwhile */
  async saveSaltKey(key: Uint8Array): Promise<void> {
    const path = join(this.path, 'keys', 'secrets.key');
    const whenThere = `another command made ${path} just now; run this one again`;
    const content = `${Buffer.from(key).toString('hex')}\n`;
    await this.#write('keys', [{ path, content, mode: 0o600, whenThere }], 0o700);
  }

  /**
   * How to reach the broker, with the files that `fleet.toml` names read.
   * @throws Refusal `config-invalid`
   */
  async brokerAddress(): Promise<BrokerAddress> {
    const { ca, cert, key, passwordFile, ...plain } = this.config.broker;
    const files = { ca, cert, key, password: passwordFile };
    const read: Record<string, string> = {};
    for (const [name, file] of Object.entries(files)) {
      if (file === undefined) continue;
      try {
        const content = await readFile(resolve(this.path, file), 'utf8');
        read[name] = name === 'password' ? content.replace(/\r?\n$/, '') : content;
      } catch (cause) {
        const { message } = unreadableFile(`the file ${file}`, cause);
        throw new Refusal('config-invalid', `fleet.toml: ${message}`, { cause });
      }
    }
    return { ...plain, ...read };
  }

  /** Where devices download `image`. */
  imageUrl(image: OfferedImage, baseUrl: string = this.config.imagesUrl): string {
    return `${baseUrl.replace(/\/+$/, '')}/${encodeURIComponent(image.offeredAs)}`;
  }

  /** The versions that were published for a device, or for a group by `@NAME`, oldest first. */
  async history(device: string): Promise<readonly PublishedVersion[]> {
    const names = new Set(await listed(this.#devicePath(device)));
    const versions = [...names]
      .flatMap((name) => /^([1-9]\d{0,15})\.cbor$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
    return await Promise.all(
      versions.map(async (version) => {
        if (!names.has(`${version}.outcome`)) return { version };
        const word = await readFile(join(this.#devicePath(device), `${version}.outcome`), 'utf8');
        return { version, outcome: word.trim() as KnownOutcome };
      }),
    );
  }

  /** Every device for which something was ever published. */
  async devices(): Promise<readonly string[]> {
    return [...(await listed(join(this.path, 'devices')))].sort();
  }

  /** The names, with their `@`, of the groups for which something was ever published. */
  async groups(): Promise<readonly string[]> {
    return [...(await listed(join(this.path, 'groups')))].sort().map((name) => `@${name}`);
  }

  /** @throws Refusal `not-found` */
  async envelope(device: string, version: number): Promise<Uint8Array> {
    const file = join(this.#devicePath(device), `${version}.cbor`);
    try {
      return await readFile(file);
    } catch (cause) {
      throw new Refusal('not-found', `version ${version} was never published for ${device} from here`, {
        cause,
      });
    }
  }

  /**
   * The envelope of a version in plain text, even if the message was encrypted. @throws Refusal
   * `not-found`
   */
  async plainEnvelope(device: string, version: number): Promise<Uint8Array> {
    const message = await this.envelope(device, version);
    const plain = this.#plainPath(device, version, message);
    return (await exists(plain)) ? await readFile(plain) : message;
  }

  /**
   * Stores the message before it is published, so that its version is never used for other content:
   * a device would refuse that with `version-conflict`.
   * @throws Refusal `input-invalid` when the version is taken, for example by a second operator at
   *   the same moment
   */
  async claim(device: string, version: number, message: Uint8Array, envelope = message): Promise<void> {
    const file = join(this.#devicePath(device), `${version}.cbor`);
    const whenThere = `version ${version} of ${device} was published by somebody else just now`;
    try {
      await this.#write(folderOf(device), [
        { path: file, content: message, whenThere },
        ...this.#plainFile(device, version, message, envelope),
      ]);
    } catch (error) {
      const kept = await readFile(file).catch(() => undefined);
      // Another process that claimed the same message needs it.
      if (kept === undefined || Buffer.compare(kept, message) !== 0) {
        await rm(this.#plainPath(device, version, message), { force: true });
      }
      throw error;
    }
  }

  /**
   * Replaces a stored command by one with more signatures, or stores a new one.
   * @throws Refusal `version-conflict` when its version has other content here
   */
  async addSignatures(
    device: string,
    version: number,
    envelope: Uint8Array,
    payload: Uint8Array,
    message = envelope,
  ): Promise<void> {
    const file = join(this.#devicePath(device), `${version}.cbor`);
    if (!(await exists(file))) {
      await this.claim(device, version, message, envelope);
      return;
    }
    if (Buffer.compare(decodeEnvelope(await this.plainEnvelope(device, version)).payload, payload) !== 0) {
      throw new Refusal('version-conflict', `${file} has version ${version} of ${device} with other content`);
    }
    const former = this.#plainPath(device, version, await readFile(file));
    await writeFiles([
      { path: file, content: message },
      ...this.#plainFile(device, version, message, envelope),
    ]);
    if (former !== this.#plainPath(device, version, message)) await rm(former, { force: true });
    await rm(join(this.#devicePath(device), `${version}.outcome`), { force: true });
  }

  rootPath(version: number): string {
    return join(this.path, 'roots', `${version}.cbor`);
  }

  /** The files of all roots, oldest first. @throws Refusal as `readDraft` */
  async roots(): Promise<readonly RootDraft[]> {
    const versions = (await listed(join(this.path, 'roots')))
      .flatMap((name) => /^([1-9]\d{0,15})\.cbor$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
    return await Promise.all(
      versions.map(async (version) => {
        const file = await readFile(this.rootPath(version));
        return fromFile(this.rootPath(version), 'a root of trust', () => readDraft(file));
      }),
    );
  }

  /**
   * Stores the file of a new root. @throws Refusal `input-invalid` when there is one of that
   * version
   */
  async saveRoot(version: number, file: Uint8Array): Promise<string> {
    const path = this.rootPath(version);
    const whenThere = `there is a root ${version} already: ${path}`;
    await this.#write('roots', [{ path, content: file, whenThere }]);
    return path;
  }

  async recordOutcome(device: string, version: number, outcome: KnownOutcome): Promise<void> {
    await replaceFile(join(this.#devicePath(device), `${version}.outcome`), `${outcome}\n`);
  }

  /** Writes files in one of the directories of the fleet, which is made when there is none. */
  async #write(folder: string, files: readonly WholeFile[], mode?: number): Promise<void> {
    await inDirectory(join(this.path, folder), () => writeFiles(files), mode);
  }

  /** The file of the envelope of an encrypted message. It takes its name before the message. */
  #plainFile(
    device: string,
    version: number,
    message: Uint8Array,
    envelope: Uint8Array,
  ): readonly WholeFile[] {
    if (message === envelope) return [];
    return [{ path: this.#plainPath(device, version, message), content: envelope }];
  }

  /**
   * The path of the envelope of an encrypted message. Its name contains a digest of the message:
   * two processes that claim one version at once each write their own file.
   */
  #plainPath(device: string, version: number, message: Uint8Array): string {
    const digest = createHash('sha256').update(message).digest('hex').slice(0, 16);
    return join(this.#devicePath(device), `${version}.plain-${digest}.cbor`);
  }

  #deviceKeyPath(device: string): string {
    deviceTopics(this.config.fleet, device);
    return join(this.path, 'keys', 'devices', `${basename(device)}.asc`);
  }

  #certificatePath(device: string): string {
    deviceTopics(this.config.fleet, device);
    return join(this.path, 'certificates', `${basename(device)}.pem`);
  }

  #devicePath(device: string): string {
    // A name with a slash or dots would leave the directory.
    if (device.startsWith('@')) groupTopic(this.config.fleet, device.slice(1));
    else deviceTopics(this.config.fleet, device);
    return join(this.path, folderOf(device));
  }
}

/** The directory of a target's commands, below a fleet directory. */
export function folderOf(target: string): string {
  return target.startsWith('@')
    ? join('groups', basename(target.slice(1)))
    : join('devices', basename(target));
}
