import { createHash, randomBytes } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { expect } from 'vitest';
import type { RefusalCode } from '../../src/core/refusal/index.ts';
import { type AcIdentifier, type AcName, parseImageId } from '../../src/image/appc/index.ts';
import { rootTopic } from '../../src/wire/report/index.ts';
import {
  decodeEnvelope,
  type DesiredState,
  type RootDocument,
  secretDigest,
  type SecretValue,
} from '../../src/wire/trust/index.ts';
import { encryptMessage, generateKey, type GeneratedKey, signDetached } from '../../src/wire/trust/sign.ts';
import { day } from '../support/operator.ts';
import { file, manifestText, rootfs, tar } from '../support/raw-tar.ts';
import { publishRoot, role, rootOf } from '../support/roots.ts';
import { serve, staticFile, type TestServer } from '../support/test-server.ts';
import { busybox } from './busybox-scene.ts';
import { type BuiltImage, fleet, Scene } from './scene.ts';

export const nowSeconds = (): number => Math.floor(Date.now() / 1000);

/** How the web server answers for an image and its signature; by default honestly. */
export interface Answers {
  readonly image?: RequestListener;
  readonly signature?: RequestListener;
}
export type Archive = BuiltImage & { readonly bytes: Buffer };

const holders = ['alice', 'bob', 'carol', 'daily', 'weekly', 'spare', 'next', 'stranger'] as const;
type Holder = (typeof holders)[number];

export const secretOf = (name: string, value: string): SecretValue => ({
  name: name as AcName,
  salt: randomBytes(32),
  value: Buffer.from(value),
});
export const naming = (desired: DesiredState, secret: SecretValue): DesiredState => ({
  ...desired,
  secrets: [{ name: secret.name, digest: secretDigest(secret) }],
});

/**
 * A device that has a root of trust and runs one pod. Its operator is honest. The test controls its
 * broker and web server.
 */
export class AttackedDevice {
  readonly scene: Scene;
  readonly keys: Record<Holder, GeneratedKey>;
  /** The keys that sign commands. */
  operators: readonly GeneratedKey[];
  /** The first command that the device obeyed: no pods. */
  old: Uint8Array = new Uint8Array();
  /** The image of the pod. */
  readonly image: BuiltImage;
  private newest: DesiredState | undefined;
  /** The key to which commands for the device are encrypted. */
  private publicKey = '';
  /** Its processes and pods before the first attack. */
  private before = '';
  private readonly web: TestServer;
  private readonly served: Map<string, RequestListener>;

  private constructor(
    scene: Scene,
    keys: Record<Holder, GeneratedKey>,
    image: BuiltImage,
    web: TestServer,
    served: Map<string, RequestListener>,
  ) {
    this.scene = scene;
    this.keys = keys;
    this.operators = [keys.daily, keys.weekly];
    this.image = image;
    this.web = web;
    this.served = served;
  }

  static async start(boardName: string): Promise<AttackedDevice> {
    const createdSeconds = nowSeconds() - 3 * day;
    const made = holders.map(async (name) => [name, await generateKey({ name, createdSeconds })] as const);
    const keys = Object.fromEntries(await Promise.all(made)) as Record<Holder, GeneratedKey>;
    const served = new Map<string, RequestListener>();
    const web = await serve((request, response) => {
      const answer = served.get(request.url ?? '');
      if (answer === undefined) response.writeHead(404).end();
      else answer(request, response);
    });
    const scene = await Scene.start(boardName);
    const image = await scene.image('busybox', [busybox, 'sleep', '1000000']);
    const device = new AttackedDevice(scene, keys, image, web, served);
    await device.settle();
    return device;
  }

  /** Brings the device to root 2 and its second command. */
  private async settle(): Promise<void> {
    const { scene } = this;
    await scene.board.copyIn(await this.signedRoot(this.root(1)), '/tmp/root.cbor');
    await scene.board.check('wherry key init; wherry trust root install /tmp/root.cbor --yes');
    this.publicKey = await scene.board.check('wherry key show');
    const empty = scene.desired([]);
    this.old = await this.signed(empty);
    await scene.send(this.old);
    expect(await scene.answer(empty.version)).toMatchObject({ outcome: 'committed' });
    await this.takesRoot(this.root(2));
    const desired = this.desired();
    await scene.send(await this.signed(desired));
    expect(await scene.answer(desired.version)).toMatchObject({ outcome: 'committed' });
    this.newest = desired;
    this.before = await this.look();
    expect(this.before).toMatch(/^MainPID=[1-9]\d*\n[^]*\n\n[^]*^MainPID=[1-9]/m);
    await this.keepsRunning();
  }

  async stop(): Promise<void> {
    await this.scene.stop();
    await this.web.close();
  }

  /** The version that the device runs. */
  get good(): DesiredState {
    if (this.newest === undefined) throw new Error('nothing runs yet');
    return this.newest;
  }

  /** The next version, with the same pod and more. */
  desired(overrides: Partial<DesiredState> = {}, more: Parameters<Scene['desired']>[0] = []): DesiredState {
    const state = this.scene.desired([{ name: 'good', image: this.image }, ...more], overrides);
    return { ...state, policy: { ...state.policy, probationSeconds: 1 } };
  }

  /** Roots and commands each need two of three signatures. */
  root(version: number, change: Partial<RootDocument> = {}): RootDocument {
    const { alice, bob, carol, daily, weekly, spare } = this.keys;
    const { imageKey } = this.scene;
    const roles = {
      root: role(2, alice, bob, carol),
      deploy: role(2, daily, weekly, spare),
      images: role(1, imageKey),
      'images/example.com/guarded': role(2, imageKey, spare),
    };
    const terms = { fleet, version, issued: nowSeconds() - 7200, expires: nowSeconds() + day };
    return rootOf(change.roles ?? roles, [...Object.values(this.keys), imageKey], { ...terms, ...change });
  }

  /** The version after that of the root the device trusts. */
  get nextRoot(): number {
    return (this.scene.reports.at(-1)?.root?.version ?? 0) + 1;
  }

  signedRoot(root: RootDocument, ...names: readonly Holder[]): Promise<Uint8Array> {
    const signers = names.length === 0 ? (['alice', 'bob'] as const) : names;
    return publishRoot(root, ...signers.map((name) => this.keys[name]));
  }

  async takesRoot(root: RootDocument): Promise<void> {
    await this.scene.send(await this.signedRoot(root), rootTopic(fleet, root.version));
    await this.scene.report((report) => report.root?.version === root.version);
  }

  signed(desired: DesiredState): Promise<Uint8Array> {
    return this.scene.sign(desired, ...this.operators);
  }

  /** The signed command and values, encrypted to the device or another key. */
  async encrypted(
    desired: DesiredState,
    secrets: readonly SecretValue[],
    publicKey = this.publicKey,
  ): Promise<Uint8Array> {
    const { payload, signatures } = decodeEnvelope(await this.signed(desired));
    return await encryptMessage({ payload, signatures, secrets }, [publicKey]);
  }

  /**
   * An archive that the operator has released. Archives with names of the same length have the same
   * size.
   */
  release(name: string, manifest: object = {}): Archive {
    const whole = { ...(JSON.parse(manifestText) as { name: AcIdentifier }), ...manifest };
    const bytes = tar(file('manifest', JSON.stringify(whole)), rootfs, file('rootfs/name', name));
    const path = `/${name}.aci`;
    const sizes = { sizeBytes: bytes.length, tarSizeBytes: bytes.length };
    const id = parseImageId(`sha512-${createHash('sha512').update(bytes).digest('hex')}`);
    const urls = [`${this.web.url.replace('127.0.0.1', '10.0.2.2')}${path}`];
    return { path, id, name: whole.name, labels: [], ...sizes, urls, bytes };
  }

  async signatureOf({ bytes }: Archive, key = this.scene.imageKey): Promise<RequestListener> {
    return staticFile(Buffer.from(await signDetached(bytes, key.privateKey, nowSeconds())));
  }

  /** Sends a command with the image in a second pod, and sets the web server's answer. */
  async command(archive: Archive, answers: Answers): Promise<void> {
    this.served.set(archive.path, answers.image ?? staticFile(archive.bytes));
    this.served.set(`${archive.path}.asc`, answers.signature ?? (await this.signatureOf(archive)));
    const { bytes: _, ...image } = archive;
    const app = { app: { exec: [busybox], user: '0', group: '0' } };
    await this.scene.send(await this.signed(this.desired({}, [{ name: 'other', image, app }])));
  }

  private look(): Promise<string> {
    return this.scene.board.check(`
      systemctl show -p MainPID -p NRestarts -p ActiveEnterTimestampMonotonic wherryd.service 'wherry-pod-good.*-main.service'
      systemctl list-units --plain --no-legend 'wherry-pod-*' | awk '{ print $1 }' | grep -v '^wherry-pod-good\\.'
      true`);
  }

  /** The device runs its pod in the same process as before, and nothing else. */
  async keepsRunning(): Promise<void> {
    const { version } = this.good;
    const report = await this.scene.report(
      ({ currentVersion, pods: [pod] }) => currentVersion === version && pod?.healthy === true,
    );
    expect(report.pods).toMatchObject([{ name: 'good', apps: [{ restarts: 0 }] }]);
    expect(await this.look()).toBe(this.before);
  }

  /** The device sends one answer to what `act` does. */
  async refuses(code: RefusalCode, act: () => Promise<unknown>): Promise<void> {
    const { scene } = this;
    const count = scene.events.length;
    await act();
    expect(await scene.eventAfter(count)).toMatchObject({ outcome: 'refused', code });
    await scene.report(
      ({ refused, deployment }) =>
        refused?.code === code || (deployment?.phase === 'refused' && deployment.code === code),
    );
    expect(scene.events).toHaveLength(count + 1);
    await this.keepsRunning();
  }

  /** After `act` the device runs another version with the same pod. */
  async commits(desired: DesiredState, act: () => Promise<unknown>): Promise<void> {
    await act();
    expect(await this.scene.answer(desired.version)).toMatchObject({ outcome: 'committed' });
    this.newest = desired;
    await this.keepsRunning();
  }
}
