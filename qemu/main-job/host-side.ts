import { createReadStream } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildAci } from '../../src/operator/build/builder.ts';
import type { AcName } from '../../src/image/appc/types.ts';
import { parseAcName } from '../../src/image/appc/identifiers.ts';
import { parseImageManifest } from '../../src/image/appc/image-manifest.ts';
import { desiredImage } from '../../src/operator/fleet/compose.ts';
import { FleetDirectory } from '../../src/operator/fleet/fleet-directory.ts';
import { FleetLink } from '../../src/operator/fleet/fleet-link.ts';
import type { Outcome, Progress } from '../../src/operator/fleet/device-view.ts';
import { provisionFiles } from '../../src/operator/fleet/provision.ts';
import { makeCommand, publishCommand } from '../../src/operator/fleet/publish.ts';
import { readImageFile } from '../../src/operator/fleet/offered-image.ts';
import { simplePod } from '../../src/operator/fleet/pod-spec.ts';
import { startEmbeddedBroker } from '../../src/operator/dev/embedded-broker.ts';
import { startImageServer } from '../../src/operator/dev/image-server.ts';
import { MqttTransport } from '../../src/wire/mqtt/mqtt-transport.ts';
import { generateKey, signDetached } from '../../src/wire/trust/sign.ts';
import { systemClock } from '../../src/core/ports/index.ts';
import { lacksOf } from '../abilities.ts';
import type { BoardConfig } from '../board-config.ts';
import { payloadRoot } from '../payload.ts';

/** Where a board finds this machine's loopback (QEMU's user network). */
const hostSeenFromBoard = '10.0.2.2';
/** The port that nginx listens on, on the board. */
export const pagePort = 8080;
const appcArch = { amd64: 'amd64', arm64: 'aarch64', armhf: 'armv7l' } as const;

/**
 * The operator's side on this machine: a fleet with keys, a broker, an image server and images.
 */
export class HostSide {
  readonly fleet: FleetDirectory;
  readonly device: AcName;
  readonly link: FleetLink;
  private readonly board: BoardConfig;
  private readonly closers: readonly (() => Promise<void>)[];

  private constructor(
    fleet: FleetDirectory,
    device: AcName,
    link: FleetLink,
    board: BoardConfig,
    closers: readonly (() => Promise<void>)[],
  ) {
    this.fleet = fleet;
    this.device = device;
    this.link = link;
    this.board = board;
    this.closers = closers;
  }

  /** Creates a new fleet in `directory` and starts its servers on free ports of 127.0.0.1. */
  static async start(directory: string, board: BoardConfig): Promise<HostSide> {
    await rm(directory, { recursive: true, force: true });
    const broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
    const images = await startImageServer({
      directory: await emptyImages(directory),
      host: '127.0.0.1',
      port: 0,
    });
    const fleet = await FleetDirectory.init(directory, {
      fleet: 'demo',
      brokerUrl: broker.url,
      imagesUrl: images.url.replace('127.0.0.1', hostSeenFromBoard),
    });
    const createdSeconds = Math.floor(Date.now() / 1000);
    for (const role of ['deploy', 'images'] as const) {
      await fleet.saveKeys(role, await generateKey({ name: `demo ${role}`, createdSeconds }), {
        replace: false,
      });
    }
    const link = await FleetLink.connect({
      fleet: fleet.config.fleet,
      transport: new MqttTransport(await fleet.brokerAddress()),
      clock: systemClock,
    });
    const device = parseAcName(board.name);
    await link.listen([device]);
    return new HostSide(fleet, device, link, board, [
      () => link.close(),
      () => broker.close(),
      () => images.close(),
    ]);
  }

  /** The files that make the board a device of the fleet. */
  async provisioning(): Promise<ReadonlyMap<string, string | Uint8Array>> {
    const files = new Map(await provisionFiles(this.fleet, this.device, Math.floor(Date.now() / 1000)));
    const toml = String(files.get('/etc/wherry/wherry.toml') ?? '');
    files.set(
      '/etc/wherry/wherry.toml',
      `${toml.replace('127.0.0.1', hostSeenFromBoard)}boot_spread_seconds = 0\n\n[report]\nschedule = "* * * * *"\n`,
    );
    return files;
  }

  /**
   * Builds and signs an image of nginx with one page. {@link deploy} adds it to the fleet's images.
   */
  async buildImage(version: string): Promise<string> {
    const path = join(this.fleet.path, `nginx-${version}.aci`);
    const label = (name: string, value: string) => ({ name, value });
    const manifest = parseImageManifest(
      Buffer.from(
        JSON.stringify({
          acKind: 'ImageManifest',
          acVersion: '0.8.11',
          name: 'example.com/nginx',
          labels: [label('version', version), label('os', 'linux'), label('arch', appcArch[this.board.arch])],
          app: {
            exec: ['/usr/sbin/nginx', '-e', 'stderr'],
            user: '33',
            group: '33',
            isolators: [
              { name: 'resource/memory', value: { limit: '48Mi' } },
              { name: 'resource/cpu', value: { limit: '500m' } },
              { name: 'wherry/tasks', value: { limit: '20' } },
            ],
            ports: [{ name: 'http', protocol: 'tcp', port: pagePort }],
          },
          annotations: [label('wherry/probe-http', `${pagePort}/`)],
        }),
      ),
    );
    await buildAci({
      root: await payloadRoot('nginx', this.board),
      manifest,
      output: path,
      compression: 'gzip',
      owner: { uid: 0, gid: 0 },
      additions: [
        { path: '/srv/www/index.html', content: Buffer.from(page(version, this.board)), mode: 0o644 },
      ],
    });
    const key = await this.fleet.key('images', 'private');
    await writeFile(
      `${path}.asc`,
      await signDetached(createReadStream(path), key, Math.floor(Date.now() / 1000)),
    );
    return path;
  }

  /**
   * Publishes the signed desired state with one pod that runs the image, and waits for the device's
   * answer.
   */
  async deploy(imagePath: string, onProgress: (progress: Progress) => void): Promise<Outcome> {
    const image = await readImageFile(imagePath);
    const { pod } = simplePod(parseAcName('web'), image);
    const means = { fleet: this.fleet, link: this.link, clock: systemClock };
    const command = await makeCommand(means, this.device, {
      pods: [pod],
      images: [desiredImage(image, [this.fleet.imageUrl(image)])],
      policy: {
        probationSeconds: 5,
        ...(lacksOf(this.board.name).controllers === undefined ? {} : { limits: 'best-effort' }),
      },
    });
    const published = await publishCommand(means, command, [image]);
    return await published.follow(600_000, onProgress);
  }

  async close(): Promise<void> {
    for (const close of this.closers) await close().catch(() => undefined); // it may be closed already
  }
}

async function emptyImages(directory: string): Promise<string> {
  const images = join(directory, 'images');
  await mkdir(images, { recursive: true });
  return images;
}

function page(version: string, board: BoardConfig): string {
  return `<!doctype html><title>wherry</title><h1>nginx ${version} on ${board.name}</h1><p>${board.description}</p>\n`;
}
