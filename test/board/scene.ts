import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Aedes } from 'aedes';
import { buildPackages, type DebianArch } from '../../cross/index.ts';
import { type Board, loadBoardConfig, startBoard } from '../../qemu/index.ts';
import { freePort } from '../../qemu/free-port.ts';
import { payloadRoot, type PayloadName } from '../../qemu/payload.ts';
import { buildAci } from '../../src/operator/build/builder.ts';
import type { AcIdentifier, AcName, ImageId } from '../../src/image/appc/types.ts';
import { parseImageManifest } from '../../src/image/appc/image-manifest.ts';
import { type Access, startImageServer } from '../../src/operator/dev/image-server.ts';
import { decodePresence } from '../../src/wire/report/index.ts';
import { decodeEvent, decodeReport } from '../../src/wire/report/report-codec.ts';
import type { DeploymentEvent, DeviceReport, Presence } from '../../src/wire/report/report.ts';
import { deviceTopics } from '../../src/wire/report/topics.ts';
import type { DesiredImage, DesiredState } from '../../src/wire/trust/desired-state.ts';
import { encodeDesiredState } from '../../src/wire/trust/desired-state-codec.ts';
import { encodeEnvelope } from '../../src/wire/trust/envelope.ts';
import { generateKey, type GeneratedKey, signDetached } from '../../src/wire/trust/sign.ts';

export const fleet = 'scene' as AcName;
export const device = 'board' as AcName;

/** The `arch` labels of the boards of the matrix. */
const appcArch = { amd64: 'amd64', arm64: 'aarch64', armhf: 'armv7l' } as const;
/**
 * The board whose programs an image for another architecture contains. Debian has none for ARMv6,
 * and those of ARMv7 run on these boards.
 */
const boardOf = { armv7l: 'virt-armv7', armv6l: 'virt-armv7' } as const;

/**
 * How long a deployment or a report may take. It only ends a test that hangs. An emulated board is
 * some 20 times slower than a native one.
 */
const patienceMs = 240_000;

export interface BuiltImage extends DesiredImage {
  readonly path: string;
}

/** The packages of this tree: those of the test run, or, for the benchmarks, new ones. */
async function packagesFor(wanted: DebianArch): Promise<readonly string[]> {
  const made =
    process.env['VITEST'] === undefined
      ? (await buildPackages({ root: resolve(import.meta.dirname, '../..'), archs: [wanted] })).packages
      : (await import('vitest')).inject('packages');
  return made.filter(({ arch }) => arch === wanted).map(({ file }) => file);
}

/**
 * A board that runs wherry, with a broker, an image server, keys, and an operator that publishes
 * and listens.
 */
export class Scene {
  readonly board: Board;
  readonly directory: string;
  readonly deployKey: GeneratedKey;
  readonly imageKey: GeneratedKey;
  readonly events: DeploymentEvent[] = [];
  readonly reports: DeviceReport[] = [];
  /** The payload of every message that the broker accepted. */
  readonly traffic: Uint8Array[] = [];
  /** The requests that the image server received. */
  readonly requests: Access[];
  presence: Presence | undefined;
  private readonly boardName: string;
  private readonly debs: readonly string[];
  private broker: RigBroker;
  private readonly images: { readonly url: string; close(): Promise<void> };
  private readonly topics = deviceTopics(fleet, device);
  private nextVersion = 1;

  private constructor(
    boardName: string,
    board: Board,
    directory: string,
    keys: { deploy: GeneratedKey; image: GeneratedKey },
    broker: RigBroker,
    images: { url: string; close(): Promise<void>; requests: Access[] },
    debs: readonly string[],
  ) {
    this.boardName = boardName;
    this.debs = debs;
    this.board = board;
    this.directory = directory;
    this.deployKey = keys.deploy;
    this.imageKey = keys.image;
    this.broker = broker;
    this.images = images;
    this.requests = images.requests;
    this.listen();
  }

  /**
   * Boots a board with the packages of this tree, configures it for its own broker, and starts
   * wherryd.
   */
  static async start(
    boardName: string,
    options: { powerLoss?: boolean; config?: string } = {},
  ): Promise<Scene> {
    const { config } = loadBoardConfig(boardName);
    const directory = mkdtempSync(join(tmpdir(), 'wherry-scene-'));
    const broker = await RigBroker.start();
    const requests: Access[] = [];
    const onAccess = (access: Access): void => void requests.push(access);
    const images = {
      ...(await startImageServer({ directory, host: '127.0.0.1', port: 0, onAccess })),
      requests,
    };
    const debs = await packagesFor(config.arch);
    const board = await startBoard({
      board: boardName,
      debs,
      powerLoss: options.powerLoss ?? false,
    });
    const keys = {
      deploy: await generateKey({ name: 'deploy' }),
      image: await generateKey({ name: 'images' }),
    };
    const scene = new Scene(boardName, board, directory, keys, broker, images, debs);
    await scene.configure(options.config ?? '');
    return scene;
  }

  /** Writes the configuration and the keys to the board and (re)starts wherryd. */
  async configure(extra: string): Promise<void> {
    const toml = `fleet = "${fleet}"\ndevice = "${device}"\n[broker]\nurl = "mqtt://10.0.2.2:${this.broker.port}"\nboot_spread_seconds = 0\n${extra}`;
    await this.board.check('mkdir -p /etc/wherry/trust/deploy /etc/wherry/trust/images/root.d');
    await this.board.copyIn(Buffer.from(toml), '/etc/wherry/wherry.toml');
    await this.board.copyIn(Buffer.from(this.deployKey.publicKey), '/etc/wherry/trust/deploy/deploy.asc');
    await this.board.copyIn(
      Buffer.from(this.imageKey.publicKey),
      '/etc/wherry/trust/images/root.d/images.asc',
    );
    await this.board.check('sync; systemctl restart wherryd');
  }

  /** Installs the packages again after a test removed them. */
  async reinstall(): Promise<void> {
    for (const [index, deb] of this.debs.entries()) await this.board.copyIn(deb, `/tmp/${index}.deb`);
    await this.board.check('dpkg -i /tmp/*.deb && systemctl restart wherryd', { timeoutMs: 240_000 });
  }

  /** Builds, signs and offers an image of a payload. */
  async image(
    payload: PayloadName,
    exec: readonly string[],
    options: {
      name?: string;
      version?: string;
      app?: Record<string, unknown>;
      files?: readonly { path: string; content: string }[];
      /**
       * The label `arch` of the image and the architecture of its programs; by default the board's.
       */
      arch?: keyof typeof boardOf;
      /** A program that compresses standard input, with its options; by default gzip. */
      compressor?: readonly [program: string, ...options: string[]];
    } = {},
  ): Promise<BuiltImage> {
    const { config } = loadBoardConfig(this.boardName);
    const arch = options.arch ?? appcArch[config.arch];
    const programs = options.arch === undefined ? config : loadBoardConfig(boardOf[options.arch]).config;
    const name = (options.name ?? `example.com/${payload}`) as AcIdentifier;
    const labels = [
      { name: 'version', value: options.version ?? '1.0.0' },
      { name: 'os', value: 'linux' },
      { name: 'arch', value: arch },
    ];
    const manifest = parseImageManifest(
      Buffer.from(
        JSON.stringify({
          acKind: 'ImageManifest',
          acVersion: '0.8.11',
          name,
          labels,
          app: { exec, user: '0', group: '0', ...options.app },
        }),
      ),
    );
    const path = join(
      this.directory,
      `${payload}-${createHash('sha256')
        .update(JSON.stringify([name, labels, exec, options]))
        .digest('hex')
        .slice(0, 12)}.aci`,
    );
    const built = await buildAci({
      root: await payloadRoot(payload, programs),
      manifest,
      output: path,
      compression: options.compressor === undefined ? 'gzip' : 'none',
      owner: { uid: 0, gid: 0 },
      additions: (options.files ?? []).map(({ path, content }) => ({
        path,
        content: Buffer.from(content),
        mode: 0o644,
      })),
    });
    if (options.compressor !== undefined) {
      const [program, ...args] = options.compressor;
      const input = await readFile(path);
      await writeFile(path, execFileSync(program, args, { input, maxBuffer: 2 ** 28 }));
    }
    const sizeBytes = (await stat(path)).size;
    return await this.offer(path, {
      id: built.imageId,
      name,
      labels: manifest.labels,
      sizeBytes,
      tarSizeBytes: built.tarSizeBytes,
    });
  }

  /** Signs a file and describes it as an image of the desired state. */
  async offer(
    path: string,
    image: Pick<DesiredImage, 'id' | 'name' | 'labels' | 'sizeBytes' | 'tarSizeBytes'>,
    key = this.imageKey,
  ): Promise<BuiltImage> {
    await writeFile(`${path}.asc`, await signDetached(await readFile(path), key.privateKey, nowSeconds()));
    const { id, name, labels, sizeBytes, tarSizeBytes } = image;
    return { path, id, name, labels, sizeBytes, tarSizeBytes, urls: [this.urlOf(path)] };
  }

  urlOf(path: string): string {
    return `${this.images.url.replace('127.0.0.1', '10.0.2.2')}/${path.split('/').at(-1) ?? ''}`;
  }

  /** A desired state with one pod per image. Each call uses the next version. */
  desired(
    pods: readonly {
      name: string;
      image: BuiltImage;
      app?: Record<string, unknown>;
      manifest?: Record<string, unknown>;
    }[],
    overrides: Partial<DesiredState> = {},
  ): DesiredState {
    const now = nowSeconds();
    return {
      format: 1,
      fleet,
      target: { device },
      version: this.nextVersion++,
      issued: now,
      expires: now + 3600,
      pods: pods.map(({ name, image, app, manifest }) => ({
        name: name as AcName,
        manifest: Buffer.from(
          JSON.stringify({
            acKind: 'PodManifest',
            acVersion: '0.8.11',
            apps: [{ name: 'main', image: { id: image.id, name: image.name }, ...app }],
            ...manifest,
          }),
        ),
      })),
      images: uniqueImages(pods.map(({ image }) => image)),
      policy: {
        probationSeconds: 3,
        reconnectWindowSeconds: 1,
        limits: this.board.lacks.controllers === undefined ? 'require' : 'best-effort',
      },
      ...overrides,
    };
  }

  /** The envelope of a desired state, signed with these keys or, by default, the deploy key. */
  async sign(desired: DesiredState, ...keys: readonly GeneratedKey[]): Promise<Uint8Array> {
    const payload = encodeDesiredState(desired);
    const signers = keys.length === 0 ? [this.deployKey] : keys;
    return encodeEnvelope({
      payload,
      signatures: await Promise.all(
        signers.map(({ privateKey }) => signDetached(payload, privateKey, nowSeconds())),
      ),
    });
  }

  /** The topic of commands for the device itself. */
  get ownTopic(): string {
    return this.topics.desired;
  }

  /** Publishes raw bytes as the retained command, on the topic of the device or another one. */
  async send(message: Uint8Array, topic = this.topics.desired): Promise<void> {
    await this.broker.publish(topic, message);
  }

  /** Signs and publishes, and waits for the terminal answer. */
  async deploy(desired: DesiredState, timeoutMs = patienceMs): Promise<DeploymentEvent> {
    await this.send(await this.sign(desired));
    return await this.answer(desired.version, timeoutMs);
  }

  async answer(version: number, timeoutMs = patienceMs): Promise<DeploymentEvent> {
    return await this.waitFor(
      `the answer to version ${version}`,
      () => this.events.find((event) => event.version === version),
      timeoutMs,
    );
  }

  /** Waits for a refusal of a message or a deployment with this code. */
  async refusal(code: string, timeoutMs = patienceMs): Promise<DeploymentEvent> {
    return await this.waitFor(
      `a refusal with ${code}`,
      () => this.events.findLast((event) => event.outcome === 'refused' && event.code === code),
      timeoutMs,
    );
  }

  /** Waits for the first event after the first `count` in `events`. */
  async eventAfter(count: number, timeoutMs = patienceMs): Promise<DeploymentEvent> {
    return await this.waitFor(`event ${count + 1}`, () => this.events[count], timeoutMs);
  }

  /** Waits until the newest report satisfies `holds`. */
  async report(holds: (report: DeviceReport) => boolean, timeoutMs = patienceMs): Promise<DeviceReport> {
    return await this.waitFor(
      'a report',
      () => {
        const report = this.reports.at(-1);
        return report !== undefined && holds(report) ? report : undefined;
      },
      timeoutMs,
    );
  }

  /** Stops the broker. `startBroker` starts it on the same port, without retained messages. */
  async stopBroker(): Promise<void> {
    await this.broker.close();
  }

  async startBroker(): Promise<void> {
    this.broker = await RigBroker.start(this.broker.port);
    this.listen();
  }

  /** How many messages of QoS 1 clients have acknowledged; the device is the only one. */
  get acknowledged(): number {
    return this.broker.acknowledged;
  }

  /** Ends every connection to the broker, as a network does. */
  cutConnections(): void {
    this.broker.cut();
  }

  /** The address of the broker, as seen from the test. */
  get brokerUrl(): string {
    return `mqtt://127.0.0.1:${this.broker.port}`;
  }

  async stop(): Promise<void> {
    await this.board.stop();
    await this.broker.close();
    await this.images.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  private listen(): void {
    this.broker.onMessage = (topic, payload) => {
      this.traffic.push(payload);
      if (payload.length === 0) return; // a cleared topic
      if (topic === this.topics.event) this.events.push(decodeEvent(payload));
      if (topic === this.topics.reported) this.reports.push(decodeReport(payload));
      if (topic === this.topics.live) this.presence = decodePresence(payload);
      this.changed();
    };
  }

  private changed: () => void = () => undefined;

  private async waitFor<T>(what: string, look: () => T | undefined, timeoutMs: number): Promise<T> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) {
        const log = await this.board.journal('-n 60 -o short-monotonic').catch(String);
        throw new Error(
          `${what} did not come; events ${JSON.stringify(this.events)}; last report ${JSON.stringify(this.reports.at(-1))}\n${log}`,
        );
      }
      await new Promise<void>((wake) => {
        const timer = setTimeout(wake, Math.min(leftMs, 5000));
        this.changed = () => {
          clearTimeout(timer);
          wake();
        };
      });
    }
  }
}

/** An MQTT broker that can be stopped and started again on its port. */
class RigBroker {
  readonly port: number;
  onMessage: (topic: string, payload: Uint8Array) => void = () => undefined;
  acknowledged = 0;
  private readonly aedes: Aedes;
  private readonly server: Server;
  private readonly sockets: Set<Socket>;

  private constructor(port: number, aedes: Aedes, server: Server, sockets: Set<Socket>) {
    this.port = port;
    this.aedes = aedes;
    this.server = server;
    this.sockets = sockets;
    aedes.on('ack', () => this.acknowledged++);
    aedes.on('publish', (packet) => this.onMessage(packet.topic, Buffer.from(packet.payload)));
  }

  /** @param at the port of a stopped broker, which no other program uses meanwhile */
  static async start(at?: number): Promise<RigBroker> {
    const port = at ?? (await freePort());
    const aedes = await Aedes.createBroker();
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      aedes.handle(socket);
    });
    await new Promise<void>((done, fail) => server.once('error', fail).listen(port, '127.0.0.1', done));
    return new RigBroker(port, aedes, server, sockets);
  }

  async publish(topic: string, payload: Uint8Array): Promise<void> {
    await new Promise<void>((done, fail) =>
      this.aedes.publish(
        { cmd: 'publish', topic, payload: Buffer.from(payload), qos: 1, retain: true, dup: false },
        (error) => (error ? fail(error) : done()),
      ),
    );
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((done) => this.server.close(() => done()));
    await new Promise<void>((done) => this.aedes.close(() => done()));
  }
}

function uniqueImages(images: readonly BuiltImage[]): DesiredImage[] {
  const byId = new Map<ImageId, DesiredImage>();
  for (const { path: _path, ...image } of images) byId.set(image.id, image);
  return [...byId.values()];
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
