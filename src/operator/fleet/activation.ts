import { validate } from 'node-cron';
import { Refusal } from '../../core/refusal/index.ts';
import type { Activation, MaintenanceWindow } from '../../wire/trust/index.ts';

export interface ActivationFlags {
  readonly activate?: string;
  /** `CRON;DURATION;ZONE` */
  readonly window?: readonly string[];
  readonly force?: true;
}

const kinds = ['now', 'window', 'next-boot', 'approval'] as const;
const example = '"0 2 * * *;4h;Europe/Berlin"';
const units = { s: 1, m: 60, h: 3600 } as const;

/**
 * The activation that `--activate`, `--window` and `--force` select; undefined for the default of
 * every device.
 *
 * @throws Refusal `usage`, `input-invalid`
 */
export function readActivation({ activate, window = [], force }: ActivationFlags): Activation | undefined {
  const when = kinds.find((kind) => kind === (activate ?? (window.length > 0 ? 'window' : 'now')));
  if (when === undefined)
    throw new Refusal(
      'usage',
      `--activate takes one of ${kinds.join(', ')}, not ${JSON.stringify(activate)}`,
    );
  if ((when === 'window') !== window.length > 0)
    throw new Refusal('usage', `--activate window and --window ${example} go together`);
  if (window.length > 4) throw new Refusal('usage', 'at most four windows are allowed');
  if (when === 'now' && force === undefined) return undefined;
  return {
    when,
    ...(window.length === 0 ? {} : { windows: window.map(readWindow) }),
    ...(force === undefined ? {} : { force }),
  };
}

function readWindow(text: string): MaintenanceWindow {
  const refuse = (why: string): Refusal =>
    new Refusal('input-invalid', `the window ${JSON.stringify(text)} ${why}; write it as ${example}`);
  const [cron = '', duration = '', timeZone = 'UTC', ...rest] = text.split(';').map((part) => part.trim());
  const [, amount, unit] = /^([1-9][0-9]{0,4})([smh])$/.exec(duration) ?? [];
  const durationSeconds = Number(amount) * units[(unit ?? 's') as keyof typeof units];
  if (rest.length > 0 || amount === undefined || !(durationSeconds >= 60 && durationSeconds <= 86_400))
    throw refuse('has no duration from 60s to 24h');
  if (cron.split(/ +/).length !== 5 || !validate(cron))
    throw refuse('has no cron expression of five fields with a time that occurs');
  try {
    new Intl.DateTimeFormat('en', { timeZone });
  } catch (cause) {
    throw new Refusal('input-invalid', `there is no time zone ${JSON.stringify(timeZone)}`, { cause });
  }
  return { cron: cron.replaceAll(/ +/g, ' '), durationSeconds, timeZone };
}
