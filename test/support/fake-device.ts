import { createHash } from 'node:crypto';
import { DeviceSession } from '../../src/device/session/index.ts';
import { MqttTransport } from '../../src/wire/mqtt/index.ts';
import type { DeviceReport, DeploymentReport } from '../../src/wire/report/index.ts';
import {
  type ConfidentialContent,
  decodeDesiredState,
  decodeMessage,
  type DesiredState,
  isInShare,
  podUuid,
  type SecretValue,
  shareOf,
  type VerifiedPayload,
} from '../../src/wire/trust/index.ts';
import { decryptMessage } from '../../src/wire/trust/openpgp.ts';
import { systemClock } from './system-clock.ts';

export interface FakeDeviceOptions {
  readonly url: string;
  readonly fleet: string;
  readonly device: string;
  /** The version that it runs when it connects; none by default. */
  readonly running?: number;
  /** The groups that it is in; none by default. */
  readonly groups?: readonly string[];
  readonly labels?: DeviceReport['labels'];
  /** The private half of its key; without one it ignores encrypted commands. */
  readonly key?: string;
  /** The outcome of a version; committed by default. */
  readonly decide?: (desired: DesiredState) => { code: string; message: string } | undefined;
}

/**
 * A device without pods: it downloads the images of a command, goes through the phases and answers,
 * but runs nothing. Its reports have the form of wherryd's.
 */
export class FakeDevice {
  /** The downloads, in order: address, size, SHA-256. */
  readonly downloads: { url: string; sizeBytes: number; sha256: string; signature: string }[] = [];
  readonly obeyed: DesiredState[] = [];
  /** The values of secrets that came with each of these. */
  readonly values: (readonly SecretValue[])[] = [];
  readonly #options: FakeDeviceOptions;
  readonly #session: DeviceSession;
  #report: DeviceReport;

  constructor(options: FakeDeviceOptions) {
    this.#options = options;
    this.#report = {
      format: 1,
      fleet: options.fleet,
      device: options.device,
      bootId: 'boot-a',
      seq: 0,
      at: 1_767_225_600,
      wherry: '0.1.0',
      trustedVersion: options.running ?? 0,
      currentVersion: options.running ?? 0,
      ...(options.groups === undefined
        ? {}
        : { groups: options.groups.map((name) => ({ name, trustedVersion: 0 })) }),
      ...(options.labels === undefined ? {} : { labels: options.labels }),
      pods: [],
      capabilities: [],
    };
    this.#session = new DeviceSession({
      fleet: options.fleet,
      device: options.device,
      groups: options.groups ?? [],
      bootId: 'boot-a',
      transport: new MqttTransport({ url: options.url, version: 4 }),
      clock: systemClock,
      journal: { log: () => undefined },
      policy: { bootSpreadMs: 0, windowMs: 20 },
    });
    this.#session.onDesired((message, group) => void this.#obey(message, group));
  }

  start(): this {
    this.#say({});
    this.#session.start();
    return this;
  }

  async close(): Promise<void> {
    await this.#session.close();
  }

  #say(changes: Partial<DeviceReport>): void {
    this.#report = { ...this.#report, ...changes, seq: this.#report.seq + 1 };
    this.#session.publishReport(this.#report);
  }

  async #read(message: Uint8Array): Promise<Partial<ConfidentialContent>> {
    const { key } = this.#options;
    const read = decodeMessage(message);
    if (read.form === 'open') return read.envelope;
    return key === undefined ? {} : await decryptMessage(read.ciphertext, key);
  }

  async #obey(message: Uint8Array, group?: string): Promise<void> {
    const { payload, secrets = [] } = await this.#read(message);
    if (payload === undefined) return;
    const desired = decodeDesiredState(payload as VerifiedPayload);
    const { version, images, pods } = desired;
    const { groups = [], trustedVersion } = this.#report;
    const mark = groups.find(({ name }) => name === group)?.trustedVersion ?? 0;
    if (version <= (group === undefined ? trustedVersion : mark)) return;
    const isOutside = !isInShare(shareOf(desired.target), this.#options.fleet, this.#options.device);
    const flag = isOutside && this.#report.group !== group ? { withdrawn: true as const } : {};
    const trusted =
      group === undefined
        ? { trustedVersion: version }
        : {
            groups: groups.map((one) =>
              one.name === group ? { name: group, trustedVersion: version, ...flag } : one,
            ),
          };
    if (isOutside) {
      this.#say(trusted);
      return;
    }
    const of = group === undefined ? {} : { group };
    this.obeyed.push(desired);
    this.values.push(secrets);
    const say = (deployment: DeploymentReport, changes: Partial<DeviceReport> = {}) =>
      this.#say({ ...changes, deployment: { ...deployment, ...of } });
    const totalBytes = images.reduce((sum, image) => sum + image.sizeBytes, 0);
    let receivedBytes = 0;
    say({ version, phase: 'fetch', receivedBytes, totalBytes }, trusted);
    let refusal = this.#options.decide?.(desired);
    for (const { urls } of images) {
      const url = urls[0] ?? '';
      try {
        const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
        const signature = await (await fetch(`${url}.asc`)).text();
        const sha256 = createHash('sha256').update(bytes).digest('hex');
        this.downloads.push({ url, sizeBytes: bytes.length, sha256, signature });
        receivedBytes += bytes.length;
        say({ version, phase: 'fetch', receivedBytes, totalBytes });
      } catch (error) {
        refusal = { code: 'download-failed', message: String(error) };
      }
    }
    const event = { format: 1, bootId: 'boot-a', at: 1_767_225_600, version, ...of } as const;
    if (desired.withdrawn === true) {
      this.#say({ withdrawn: true });
      this.#session.publishEvent({ ...event, outcome: 'committed' });
      return;
    }
    if (refusal !== undefined) {
      say({ version, phase: 'refused', ...refusal });
      this.#session.publishEvent({ ...event, outcome: 'refused', ...refusal });
      return;
    }
    for (const phase of ['stage', 'activate', 'probation'] as const) say({ version, phase });
    const running = pods.map(({ name, manifest }) => ({
      name,
      uuid: podUuid(name, manifest),
      healthy: true,
      apps: [
        {
          name: 'app',
          imageId: images[0]?.id ?? '',
          state: 'active/running',
          pid: 7,
          restarts: 0,
          lastResult: 'success',
          oomKills: 0,
          memoryBytes: 12 * 2 ** 20,
          memoryMaxBytes: 64 * 2 ** 20,
        },
      ],
      isolators: [],
    }));
    say({ version, phase: 'committed' }, { currentVersion: version, ...of, pods: running });
    this.#session.publishEvent({ ...event, outcome: 'committed' });
  }
}
