import { labelValue, type PodManifest } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';

/** When a scheduled pod runs. */
export interface PodSchedule {
  /** Calendar expressions of systemd.time(7); the pod runs when any of them elapses. */
  readonly expressions: readonly string[];
  /** Whether a run that was missed while the device was off is done later. */
  readonly catchUp: boolean;
}

const annotation = 'wherry/schedule';
const missedAnnotation = 'wherry/schedule-missed';
const maxBytes = 128;

/** The characters of expressions. systemd itself parses them when the pod is staged. */
const expressionForm = /^[A-Za-z0-9*@][A-Za-z0-9*@:,./~_+ -]*$/;

/**
 * The schedule of a pod, by annotations of its manifest; undefined for a pod that is not scheduled.
 *
 * @throws Refusal `pod-manifest-invalid`
 */
export function podSchedule({ annotations }: PodManifest): PodSchedule | undefined {
  const text = labelValue(annotations, annotation);
  const missed = labelValue(annotations, missedAnnotation);
  if (text === undefined) {
    if (missed === undefined) return undefined;
    throw invalid(missedAnnotation, `it is for a pod with ${annotation}`);
  }
  const expressions = text.split(';').map((expression) => expression.trim());
  if (text.length > maxBytes || !expressions.every((expression) => expressionForm.test(expression))) {
    const expected = `expected calendar expressions of at most ${maxBytes} bytes, such as "*-*-* 03:00:00" or "Mon 08:00; Fri 18:00"`;
    throw invalid(annotation, `${expected}, found ${JSON.stringify(text.slice(0, 80))}`);
  }
  if (missed !== undefined && missed !== 'run' && missed !== 'skip') {
    throw invalid(missedAnnotation, `expected "run" or "skip", found ${JSON.stringify(missed.slice(0, 80))}`);
  }
  return { expressions, catchUp: missed === 'run' };
}

function invalid(which: string, why: string): Refusal {
  return new Refusal('pod-manifest-invalid', `annotation ${which}: ${why}`);
}
