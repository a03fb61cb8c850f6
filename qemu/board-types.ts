import type { DebianArch } from '../cross/index.ts';
import type { Lacks } from './abilities.ts';
import type { FilesystemCheck } from './filesystem-check.ts';

/**
 * The default time limit of a command or a wait on a board. It only ends those that hang: no test
 * may depend on the speed of the machine.
 */
export const usualTimeoutMs = 180_000;

export type RunOptions = {
  readonly timeoutMs?: number;
  readonly stdin?: string | Uint8Array;
  readonly signal?: AbortSignal;
};
export type RunResult = { readonly status: number; readonly stdout: string; readonly stderr: string };

/** Counters of the root disk since the board was switched on. */
export type BlockStats = {
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly writes: number;
  readonly flushes: number;
};

export type BootOptions = {
  /** Whether the network cable is plugged in; by default true. */
  readonly network?: boolean;
  /** The time of the hardware clock; by default the real time. Needs `clock`. */
  readonly hardwareClock?: Date;
};

/** A board, and everything that a test or a user can do with it. */
export interface Board {
  readonly name: string;
  readonly arch: DebianArch;
  /** `process.versions.modules` of its Node. */
  readonly nodeAbi: number;
  /** The missing abilities, each with the reason. A call that needs one throws the reason. */
  readonly lacks: Lacks;

  /**
   * Runs a bash script on the board as root. A script that exceeds its time ends with status 124.
   */
  run(script: string, options?: RunOptions): Promise<RunResult>;
  /**
   * Like {@link run}, for scripts that must succeed.
   * @returns their output
   * @throws Error with what they printed
   */
  check(script: string, options?: RunOptions): Promise<string>;
  /** Runs the script again and again until the predicate holds for its result. */
  waitFor(script: string, holds?: (result: RunResult) => boolean, timeoutMs?: number): Promise<RunResult>;
  /** Waits until systemd reports a unit in a state (active, inactive, failed, …). */
  waitForUnit(unit: string, state?: string, timeoutMs?: number): Promise<void>;
  /** Waits for text on the console since the last power-on. @returns the first line that matches */
  waitForLine(pattern: RegExp, timeoutMs?: number): Promise<string>;
  /** The journal up to this moment, by arguments of journalctl(1), e.g. `-u wherryd -o json`. */
  journal(args?: string): Promise<string>;
  /** Everything that the console printed since the last power-on. */
  consoleLog(): string;

  /**
   * Writes a file on the board.
   * @param source bytes, or the path of a file here
   * @param mode e.g. 0o755
   */
  copyIn(source: string | Uint8Array, guestPath: string, mode?: number): Promise<void>;
  /** Reads a file from the board. */
  copyOut(guestPath: string): Promise<Buffer>;

  /**
   * Forwards a port of the host's 127.0.0.1 to a port of the board; it stays over reboots.
   * @returns the host's port
   */
  forward(guestPort: number, hostPort?: number): Promise<number>;
  /** All forwarded ports: port of the board → port of the host. */
  readonly forwards: ReadonlyMap<number, number>;
  /** Pulls the network cable. The board sees that its link is down. */
  cutNetwork(): Promise<void>;
  restoreNetwork(): Promise<void>;

  /**
   * Cuts the power of the board at once. With the ability `power-loss`, unflushed writes are lost.
   */
  powerCut(): Promise<void>;
  /**
   * Switches the board on again after {@link powerCut} or a shutdown, and waits until it accepts
   * commands.
   */
  bootAgain(options?: BootOptions): Promise<void>;
  /** Reboots the board and waits until it accepts commands again. */
  reboot(): Promise<void>;

  /** Sets the board's clock. Needs `clock`. */
  setClock(time: Date): Promise<void>;
  /** The counters of the root disk since the board was switched on. Needs `disk`. */
  blockStats(): Promise<BlockStats>;
  /**
   * Checks the file system of a board that is off, as `fsck` would at the next boot. Needs `disk`.
   */
  fsck(): Promise<FilesystemCheck>;

  /** Connects this process's terminal to a root shell on the board until either ends. */
  terminal(): Promise<void>;
  /** Settles when the board has ended, by itself or by a call here. */
  readonly ended: Promise<void>;
  /** Ends the board and removes everything this run wrote. */
  stop(): Promise<void>;
}
