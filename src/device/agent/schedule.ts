import { schedule, validate } from 'node-cron';
import { Refusal } from '../../core/refusal/index.ts';

/**
 * Runs `task` by a cron expression in local time until the returned function is called.
 *
 * @throws {Refusal} config-invalid when the expression is not one.
 */
export function runBySchedule(key: string, expression: string, task: () => void): () => void {
  if (!validate(expression)) {
    throw new Refusal('config-invalid', `wherry.toml: ${key} is not a cron expression: ${expression}`);
  }
  const job = schedule(expression, task);
  return () => void job.destroy();
}
