import type { DesiredImage, DeviceTime } from '../../../wire/trust/index.ts';
import type { ProxySettings } from '../../../wire/http/index.ts';
import type { RefusedResult } from '../index.ts';

/**
 * What wherryd hands to the pull unit, and what comes back. Both travel as CBOR files in
 * directories named by the job: `<partial>/<job>/job.cbor` in,
 * `<partial>/<job>/{result.cbor,object.erofs}` out, progress in memory only at
 * `<run>/pull/<job>/progress.cbor`. The unit's other inputs are credentials, which systemd puts
 * into memory for it, and the proxy variables of its environment.
 */
export interface PullJob {
  readonly image: DesiredImage;
  /** Armored public keys that are trusted for the image's name. */
  readonly keys: readonly string[];
  /** How many of them must sign; 1 when absent. */
  readonly threshold?: number;
  /** Other keys of the device and revocation certificates: what they say counts for `keys`, too. */
  readonly copies?: readonly string[];
  /**
   * Values of the `arch` label that this device can run, best first, for example ['aarch64',
   * 'armv7l'].
   */
  readonly architectures: readonly string[];
  readonly limits: PullLimits;
  readonly compression: 'none' | 'lz4';
  /** At which key and signature are judged, by the same rule as those of a command. */
  readonly time: DeviceTime;
  /**
   * The object will be sealed: its digest of fs-verity is wanted, computed while its bytes are
   * still in memory.
   */
  readonly seals?: true;
  /**
   * In place of what the environment of the unit says. Never with a password: the job lies on
   * flash.
   */
  readonly proxy?: ProxySettings;
}

export interface PullLimits {
  readonly maxTarBytes: number;
  readonly maxEntries: number;
  /** Uncompressed bytes per compressed byte, judged past the first MiB. */
  readonly maxRatio: number;
  readonly minBytesPerSecond: number;
  /** Not faster than this, over the whole pull; 0 is as fast as it comes. */
  readonly maxBytesPerSecond: number;
}

export interface Pulled {
  readonly ok: true;
  readonly imageId: string;
  /** The exact bytes of the image manifest. */
  readonly manifest: Uint8Array;
  readonly objectSizeBytes: number;
  /**
   * There are directories that no entry names, so the object does not know their owner and mode.
   */
  readonly impliesDirectories?: true;
  /** SHA-256 of the object file, lower-case hex. */
  readonly objectSha256: string;
  /**
   * The digest that the sealed object will have, when the job wants it and the program for it is
   * there.
   */
  readonly objectVerity?: string;
  /**
   * Bytes of the image that came over the network in this run; less than its size after a resume,
   * at most twice its size.
   */
  readonly downloadedBytes: number;
  /** Fingerprint of the key that signed, lower-case hex; of several, with spaces between. */
  readonly signedBy: string;
}

export type PullResult = Pulled | RefusedResult;

export interface PullProgress {
  readonly receivedBytes: number;
  readonly totalBytes: number;
}
