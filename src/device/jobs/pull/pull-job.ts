import type { DesiredImage, DeviceTime } from '../../../wire/trust/index.ts';
import type { ProxySettings } from '../../../wire/http/index.ts';
import type { RefusedResult } from '../index.ts';

/**
 * What wherryd passes to the pull unit, and what the unit returns. Both are CBOR files in
 * directories named by the job: `<partial>/<job>/job.cbor` in,
 * `<partial>/<job>/{result.cbor,object.erofs}` out, progress in memory only at
 * `<run>/pull/<job>/progress.cbor`. The unit's other inputs are credentials, which systemd passes
 * in memory, and the proxy variables of its environment.
 */
export interface PullJob {
  readonly image: DesiredImage;
  /** Armored public keys that are trusted for the image's name. */
  readonly keys: readonly string[];
  /** How many of them must sign; 1 when absent. */
  readonly threshold?: number;
  /**
   * Other key files and revocation certificates of the device: their revocations apply to `keys`,
   * too.
   */
  readonly copies?: readonly string[];
  /**
   * Values of the `arch` label that this device can run, best first, for example ['aarch64',
   * 'armv7l'].
   */
  readonly architectures: readonly string[];
  readonly limits: PullLimits;
  readonly compression: 'none' | 'lz4';
  /** The time at which key and signature are judged, by the same rule as for a command. */
  readonly time: DeviceTime;
  /**
   * The object will be sealed: the unit computes its digest of fs-verity while its bytes are still
   * in memory.
   */
  readonly seals?: true;
  /** Overrides the proxy of the unit's environment. Never with a password: the job is on flash. */
  readonly proxy?: ProxySettings;
}

export interface PullLimits {
  readonly maxTarBytes: number;
  readonly maxEntries: number;
  /** Uncompressed bytes per compressed byte, judged past the first MiB. */
  readonly maxRatio: number;
  readonly minBytesPerSecond: number;
  /** The highest rate, over the whole pull; 0 is unlimited. */
  readonly maxBytesPerSecond: number;
}

export interface Pulled {
  readonly ok: true;
  readonly imageId: string;
  /** The exact bytes of the image manifest. */
  readonly manifest: Uint8Array;
  readonly objectSizeBytes: number;
  /** Some directories have no entry in the archive, so the object lacks their owner and mode. */
  readonly impliesDirectories?: true;
  /** SHA-256 of the object file, lower-case hex. */
  readonly objectSha256: string;
  /**
   * The digest that the sealed object will have, if the job has `seals` and the program for it is
   * installed.
   */
  readonly objectVerity?: string;
  /**
   * Bytes of the image that came over the network in this run; less than its size after a resume,
   * at most twice its size.
   */
  readonly downloadedBytes: number;
  /** Fingerprints of the keys that signed, lower-case hex, separated by spaces. */
  readonly signedBy: string;
}

export type PullResult = Pulled | RefusedResult;

export interface PullProgress {
  readonly receivedBytes: number;
  readonly totalBytes: number;
}
