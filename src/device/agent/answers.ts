import type { Clock, Journal } from '../../core/ports/index.ts';
import type { RefusalCode } from '../../core/refusal/index.ts';
import type { DeploymentEvent, DeploymentReport, DeviceReport } from '../../wire/report/index.ts';
import { isPending } from '../deploy/index.ts';
import { type DesiredState, groupOf } from '../../wire/trust/index.ts';
import { refusalBudget } from './message-policy.ts';

export interface AnswerPorts {
  readonly clock: Clock;
  readonly journal: Journal;
  readonly bootId: string;
  /** Something that a report shows has changed. */
  readonly onChange: () => void;
  /** One terminal answer to one command. */
  readonly onEvent: (event: DeploymentEvent) => void;
}

/**
 * Reports on commands: in the journal, as events, and in the report of the device. It decides
 * nothing about them.
 */
export class Answers {
  readonly #ports: AnswerPorts;
  readonly #refusals = refusalBudget();
  /** Refusals since the last one that was reported. */
  #unreported = 0;
  #deployment: DeploymentReport | undefined;
  #refused: DeviceReport['refused'];

  /** @param last the deployment that ended last before this start */
  constructor(ports: AnswerPorts, last: DeploymentReport | undefined) {
    this.#ports = ports;
    this.#deployment = last;
  }

  /** The deployment under way, or else the one that ended last. */
  get deployment(): DeploymentReport | undefined {
    return this.#deployment;
  }

  /** The last message that did not become a deployment. */
  get refused(): DeviceReport['refused'] {
    return this.#refused;
  }

  /** Removes the last refusal from the report, because a command was accepted. */
  forgetRefusal(): void {
    this.#refused = undefined;
  }

  /**
   * Reports a message that was refused; `version` is 0 when it is not known. Refusals over the
   * budget are only counted.
   */
  refuse(code: RefusalCode, reason: string, version: number, group?: string): void {
    const { clock, journal, onChange, onEvent } = this.#ports;
    if (this.#refusals.take(clock.nowMs()) > 0) {
      this.#unreported += 1;
      return;
    }
    const message =
      this.#unreported === 0 ? reason : `${reason} (${this.#unreported} more were refused before)`;
    this.#unreported = 0;
    const { at, ...answer } = this.#answer({ version, group });
    const of = group === undefined ? {} : { group };
    this.#refused = { code, message, at, ...(version === 0 ? {} : { version }), ...of };
    journal.log('error', `command${group === undefined ? '' : ` for group ${group}`} refused: ${message}`, {
      WHERRY_CODE: code,
    });
    onEvent({ ...answer, at, outcome: 'refused', code, message });
    onChange();
  }

  /** Answers a version that was trusted and is not deployed: another target has precedence. */
  passOver(desired: DesiredState, why: string): void {
    const { version, target } = desired;
    const message = `version ${version} is not deployed: ${why}`;
    this.#ports.journal.log('notice', message, { WHERRY_VERSION: version, WHERRY_CODE: 'passed-over' });
    const answer = this.#answer({ version, group: groupOf(target) });
    this.#ports.onEvent({ ...answer, outcome: 'superseded', code: 'passed-over', message });
    this.#ports.onChange();
  }

  /**
   * Logs a version that is for other devices of the group. It sends no event, because that would
   * come from most devices of the group.
   */
  standAside({ version, target }: DesiredState): void {
    const group = groupOf(target) ?? '';
    const why = `it is for a share of the group ${group} without this device`;
    this.#ports.journal.log('notice', `version ${version} is not deployed: ${why}`, {
      WHERRY_VERSION: version,
    });
  }

  /** Answers a version that has withdrawn its target. */
  withdrawn({ version, target }: DesiredState): void {
    this.#ports.journal.log('notice', `version ${version} withdraws its target; the pods keep running`, {
      WHERRY_VERSION: version,
    });
    this.#ports.onEvent({ ...this.#answer({ version, group: groupOf(target) }), outcome: 'committed' });
    this.#ports.onChange();
  }

  /** Reports the progress of a deployment; the journal has each phase and each step. */
  observe(report: DeploymentReport): void {
    const before = this.#deployment;
    this.#deployment = report;
    const isSame = before?.version === report.version && before.group === report.group;
    if (!isSame || before.phase !== report.phase) this.#announce(report);
    if (report.phase === 'wait')
      this.#log('notice', report, `version ${report.version} waits: ${report.why ?? ''}`);
    if ('step' in report)
      this.#log('info', report, `version ${report.version}: ${report.phase}: ${report.step}`);
    this.#ports.onChange();
  }

  #announce(report: DeploymentReport): void {
    const { version, phase } = report;
    if (phase === 'wait') return; // reported with its reason
    if (isPending(phase)) {
      this.#log('notice', report, `version ${version}: ${phase}`);
    } else if ('code' in report) {
      const { code, message } = report;
      const level = code === 'superseded' ? 'notice' : 'error';
      this.#log(level, report, `version ${version}: ${phase}: ${message}`);
      this.#ports.onEvent({ ...this.#answer(report), outcome: report.phase, code, message });
    } else {
      this.#log('notice', report, `version ${version}: ${phase}`);
      this.#ports.onEvent({ ...this.#answer(report), outcome: 'committed' });
    }
  }

  #answer({ version, group }: { readonly version: number; readonly group?: string | undefined }): {
    format: 1;
    bootId: string;
    at: number;
    version: number;
    group?: string;
  } {
    const { bootId, clock } = this.#ports;
    const of = group === undefined ? {} : { group };
    return { format: 1, bootId, at: Math.floor(clock.nowMs() / 1000), version, ...of };
  }

  #log(level: 'info' | 'notice' | 'error', report: DeploymentReport, text: string): void {
    this.#ports.journal.log(level, text, {
      WHERRY_VERSION: report.version,
      WHERRY_PHASE: report.phase,
      ...('code' in report ? { WHERRY_CODE: report.code } : {}),
    });
  }
}
