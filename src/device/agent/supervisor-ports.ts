import type { DeviceState, TargetGroup, World } from '../deploy/index.ts';
import type { Examined } from '../jobs/examine/index.ts';
import type { DesiredState } from '../../wire/trust/index.ts';
import type { AnswerPorts } from './answers.ts';
import type { StateFile } from './state-file.ts';

/** The ports and listeners of a supervisor. */
export interface SupervisorPorts extends AnswerPorts {
  readonly keeper: StateFile;
  /** The groups of the device; the first has precedence. */
  readonly groups?: readonly string[];
  readonly world: World;
  /**
   * Refuses, with the codes of the command class, a message that is not a command by its form,
   * before it is examined.
   */
  readonly check?: (message: Uint8Array) => void;
  /** Calls `work` after `delayMs`, unless wherryd ends before. */
  readonly later?: (delayMs: number, work: () => void) => void;
  /**
   * Judges a message on the topic of a target; refuses with the codes of the command class.
   */
  readonly examine: (
    message: Uint8Array,
    state: DeviceState,
    signal: AbortSignal,
    group: TargetGroup,
  ) => Promise<Examined>;
  /** Starts the committed pods that do not run. Rejects with the reason of `signal`. */
  readonly startPods: (signal: AbortSignal) => Promise<void>;
  /** A deployment, a repair or the start of the pods has ended, with any outcome. */
  readonly onRest: () => void;
  /** A desired state was accepted: its policy is in force. */
  readonly onAccepted: (desired: DesiredState) => void;
  /** A target was withdrawn: the commands of the other targets are needed again. */
  readonly onWithdrawn?: () => void;
  /** A command that was judged before came again: its sender may have missed the report. */
  readonly onRepeated?: () => void;
}
