import { X509Certificate } from 'node:crypto';
import type { Clock, Journal } from '../../core/ports/index.ts';
import {
  type BrokerAddress,
  type Connection,
  ConnectionLost,
  type ConnectOptions,
  MqttTransport,
  type Transport,
} from '../../wire/mqtt/index.ts';
import type { BrokerFiles, CurrentFiles } from './broker-files.ts';

/** How often the files are checked during a connection. */
const lookEveryMs = 15 * 60_000;
/** A connection whose certificate expires sooner is replaced once there is another certificate. */
const marginMs = 24 * 3_600_000;

export interface TransportPorts {
  readonly clock: Clock;
  readonly journal: Journal;
  /** Sets a clock that is behind; whether it did. It does not fail. */
  readonly raiseClock?: () => Promise<boolean>;
}

/**
 * One broker address. Each connection uses the files that are then on the disk. Shortly before its
 * certificate expires, a connection is closed if there is another certificate.
 */
export class RenewedTransport implements Transport {
  readonly #address: Omit<BrokerAddress, keyof BrokerFiles>;
  readonly #current: CurrentFiles;
  readonly #ports: TransportPorts;
  #used: { readonly files: BrokerFiles; readonly transport: MqttTransport };

  /** @throws Refusal `config-invalid` when the URL or the TLS files do not fit */
  constructor(
    address: Omit<BrokerAddress, keyof BrokerFiles>,
    first: BrokerFiles,
    current: CurrentFiles,
    ports: TransportPorts,
  ) {
    this.#address = address;
    this.#current = current;
    this.#ports = ports;
    this.#used = { files: first, transport: new MqttTransport({ ...address, ...first }) };
  }

  async connect(options: ConnectOptions): Promise<Connection> {
    try {
      return await this.#connect(options);
    } catch (loss) {
      if (!isTooEarly(loss) || (await this.#ports.raiseClock?.()) !== true) throw loss;
      return await this.#connect(options);
    }
  }

  async #connect(options: ConnectOptions): Promise<Connection> {
    const files = this.#current.newest();
    // A new transport also drops the TLS session, which would be resumed with the old certificate.
    if (files !== this.#used.files)
      this.#used = { files, transport: new MqttTransport({ ...this.#address, ...files }) };
    const connection = await this.#used.transport.connect(options);
    if (files.cert !== undefined) void this.#endBefore(files, files.cert, connection);
    return connection;
  }

  async #endBefore(used: BrokerFiles, cert: string, connection: Connection): Promise<void> {
    const { clock, journal } = this.#ports;
    const over = new AbortController();
    void connection.ended.then(() => over.abort(new Error('the connection has ended')));
    const isOver = (): Promise<boolean> =>
      clock.sleep(lookEveryMs, over.signal).then(
        () => false,
        () => true,
      );
    while (!(await isOver())) {
      if (Date.parse(new X509Certificate(cert).validTo) - clock.nowMs() > marginMs) continue;
      if (this.#current.newest() === used) continue;
      journal.log('notice', 'the certificate of this connection expires soon: connecting with the new one');
      await connection.close();
      return;
    }
  }
}

/** Whether a certificate of the broker is not valid yet by the clock of this device. */
function isTooEarly(loss: unknown): boolean {
  const cause: unknown = loss instanceof ConnectionLost ? loss.cause : undefined;
  return cause instanceof Error && 'code' in cause && cause.code === 'CERT_NOT_YET_VALID';
}
