import { isOutcome, type Outcome, type Progress, type Published } from '../../../operator/fleet/index.ts';
import { isRefusal, Refusal } from '../../../core/refusal/index.ts';
import type { Context } from '../../context.ts';
import type { WaitFlags } from '../../flags.ts';
import { firstNames, formatBytes } from '../../format.ts';
import { LiveLines, paint, type Colour } from '../../terminal.ts';

/**
 * Follows what was published to its end.
 * @throws the refusal of the first device that did not commit
 */
export async function finish(
  context: Context,
  published: readonly Published[],
  flags: WaitFlags,
): Promise<void> {
  const { terminal } = context;
  const lines = new LiveLines(terminal);
  const startedAtMs = context.clock.monotonicMs();
  const results = await Promise.all(
    published.map(async (command) => {
      const { device, version } = command;
      const show = (progress: Progress) => {
        const [text, milestone] = describe(progress);
        lines.update(
          device,
          `${device}  version ${version}  ${paint(terminal, colourOf(progress), text)}`,
          milestone,
        );
      };
      if (!flags.wait) {
        const kept = await command.isKept();
        const words = kept
          ? 'published'
          : 'sent; the broker does not return it, so check what this account may write';
        lines.update(device, `${device}  version ${version}  ${words}`, 'published');
        return { device, version, kept };
      }
      show({ phase: 'waiting' });
      try {
        const outcome = await command.follow(flags.timeout * 1000, show);
        const seconds = Math.round((context.clock.monotonicMs() - startedAtMs) / 100) / 10;
        return { device, version, outcome, seconds };
      } catch (error) {
        if (!isRefusal(error)) throw error;
        return { device, version, refusal: error };
      }
    }),
  );
  if (context.json) {
    const rows = results.map(({ device, version, kept, outcome, refusal, seconds }) => ({
      device,
      version,
      ...(kept === undefined ? {} : { kept }),
      ...(outcome === undefined ? {} : { ...outcome, seconds }),
      ...(refusal === undefined ? {} : { code: refusal.code, message: refusal.message }),
    }));
    terminal.out(JSON.stringify(rows));
  }
  const [first, ...others] = results.filter(
    ({ outcome, refusal }) =>
      refusal !== undefined || (outcome !== undefined && outcome.phase !== 'committed'),
  );
  if (first === undefined) return;
  // An outcome has its line already.
  const silent = others.flatMap(({ device, refusal }) => (refusal === undefined ? [] : [device]));
  if (silent.length > 0) terminal.err(`without an outcome as well: ${firstNames(silent)}\n`);
  const { device, outcome, refusal } = first;
  if (refusal !== undefined) throw refusal;
  if (outcome !== undefined && outcome.phase !== 'committed') throw refusalOf(device, outcome);
}

function refusalOf(device: string, outcome: Exclude<Outcome, { phase: 'committed' }>): Refusal {
  const what = {
    refused: 'refused the command',
    'rolled-back': 'went back to what it ran before',
    superseded: outcome.code === 'passed-over' ? 'passed the command over' : 'took a newer version',
  }[outcome.phase];
  return new Refusal(outcome.code, `${device} ${what}: ${outcome.message}`);
}

/** A line for people, and the part whose change is worth a new line in a log. */
function describe(progress: Progress): readonly [text: string, milestone: string] {
  switch (progress.phase) {
    case 'waiting':
      return ['waiting for the device', 'waiting'];
    case 'fetch': {
      const { receivedBytes, totalBytes } = progress;
      if (receivedBytes === undefined || totalBytes === undefined || totalBytes === 0)
        return ['fetch', 'fetch'];
      const percent = Math.floor((100 * receivedBytes) / totalBytes);
      const text = `fetch  ${formatBytes(receivedBytes)} of ${formatBytes(totalBytes)}  ${percent} %`;
      return [text, `fetch ${Math.floor(percent / 10)}`];
    }
    case 'wait':
      return [`waits: ${progress.why ?? 'it is held'}`, `wait ${progress.why ?? ''}`];
    case 'stage':
    case 'activate':
    case 'probation': {
      const { phase, step } = progress;
      return [step === undefined ? phase : `${phase}  ${step}`, phase];
    }
    case 'committed':
      return [progress.phase, progress.phase];
    case 'rolled-back':
    case 'refused':
    case 'superseded':
      return [`${progress.phase} (${progress.code}): ${progress.message}`, progress.phase];
  }
}

function colourOf(progress: Progress): Colour {
  if (!isOutcome(progress)) return 'yellow';
  return progress.phase === 'committed' ? 'green' : 'red';
}
