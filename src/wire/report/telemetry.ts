import {
  boolean,
  encodeCbor,
  integer,
  list,
  map,
  oneOf,
  optional,
  type Reader,
} from '../../core/cbor/index.ts';
import { decode, line } from './read-message.ts';
import { wireBytes } from './wire-text.ts';

/**
 * Numbers of a device and its apps, retained on `telemetry`. A message contains all of them, so
 * that no other message is needed.
 */
export interface Telemetry {
  readonly format: 1;
  /** Seconds since 1970 by the device's clock. */
  readonly at: number;
  readonly device: DeviceNumbers;
  readonly apps: readonly AppNumbers[];
}

/** Numbers that a device cannot measure are absent. */
export interface DeviceNumbers {
  readonly uptimeSeconds: number;
  /** Whether the clock can be trusted. */
  readonly clockTrusted: boolean;
  /** Of all processors, since the previous message or measurement. */
  readonly cpuPercent?: number;
  /** In use, without caches that could be freed. */
  readonly memoryBytes?: number;
  readonly memoryTotalBytes?: number;
  /** Of the file system of /var/lib/wherry. */
  readonly diskBytes?: number;
  readonly diskTotalBytes?: number;
  /** Of the hottest zone. */
  readonly temperatureCelsius?: number;
  /** Hundredths of the load of one minute. */
  readonly load100?: number;
  /** Whether heat or a weak supply throttles the processor now. */
  readonly throttled?: boolean;
}

export interface AppNumbers {
  readonly pod: string;
  readonly app: string;
  readonly restarts: number;
  readonly oomKills: number;
  /** Of one processor. */
  readonly cpuPercent?: number;
  readonly memoryBytes?: number;
}

/** 64 pods of 64 apps with long names are more than a device has. */
const maxTelemetryBytes = 32 * 1024;
const mostApps = 256;

/** The message as bytes that `decodeTelemetry` accepts; apps beyond 256 are left out. */
export function encodeTelemetry(telemetry: Telemetry): Uint8Array {
  return encodeCbor({ ...telemetry, apps: telemetry.apps.slice(0, mostApps) });
}

/** @throws Refusal `input-invalid` */
export function decodeTelemetry(bytes: Uint8Array): Telemetry {
  return decode(bytes, maxTelemetryBytes, telemetry, 'telemetry');
}

const count = integer(0);
const name = line(wireBytes.name);

const telemetry: Reader<Telemetry> = map({
  format: oneOf(1),
  at: count,
  device: map({
    uptimeSeconds: count,
    clockTrusted: boolean,
    cpuPercent: optional(integer(0, 100)),
    memoryBytes: optional(count),
    memoryTotalBytes: optional(count),
    diskBytes: optional(count),
    diskTotalBytes: optional(count),
    temperatureCelsius: optional(integer(-273, 1000)),
    load100: optional(count),
    throttled: optional(boolean),
  }),
  apps: list(
    map({
      pod: name,
      app: name,
      restarts: count,
      oomKills: count,
      cpuPercent: optional(count),
      memoryBytes: optional(count),
    }),
    { max: mostApps },
  ),
});
