/**
 * Runs on a board under its own Node. Runs steps against the real systemd and prints one JSON line
 * for each result. The command line holds the steps as JSON, `[["reload"], ["start", "a.service"],
 * …]`.
 */
import { connectSystemd } from '../../src/device/systemd/manager.ts';

const systemd = connectSystemd({ watched: ['wherry-', 'run-wherry-'] });
const seen = new Set<string>();
systemd.watch((unit) => void seen.add(unit));

const steps: Record<string, (...args: string[]) => Promise<unknown>> = {
  reload: () => systemd.reload(),
  start: (unit = '') => systemd.start(unit),
  run: (unit = '') => systemd.run(unit),
  stop: (unit = '') => systemd.stop(unit),
  status: (unit = '') => systemd.status(unit),
  unmet: (unit = '') => systemd.unmet(unit),
  list: (...patterns) => systemd.list(patterns),
  resetFailed: (unit = '') => systemd.resetFailed(unit),
  seen: () => Promise.resolve([...seen]),
  memory: () => Promise.resolve(process.memoryUsage()),
};

for (const [step = '', ...args] of JSON.parse(process.argv[2] ?? '[]') as string[][]) {
  const began = performance.now();
  const outcome = await (steps[step]?.(...args) ?? Promise.reject(new Error(`no step ${step}`))).then(
    (value) => ({ value }),
    (error: unknown) => ({ error: String(error) }),
  );
  console.log(JSON.stringify({ step, ms: Math.round(performance.now() - began), ...outcome }));
}
systemd.close();
