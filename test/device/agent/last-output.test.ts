import { expect, it } from 'vitest';
import { lastOutputOf } from '../../../src/device/agent/last-output.ts';
import type { LogChoice } from '../../../src/device/local-api/app-logs.ts';

const pod = { name: 'web', uuid: '6733c088-a507-4694-aabf-7ac87ab4ae79' };

const quote = async (remotePods: readonly string[], texts: readonly string[]) => {
  const asked: LogChoice[] = [];
  let written: readonly string[] = [];
  const read = (choice: LogChoice) => {
    asked.push(choice);
    return Promise.resolve(written.map((text) => ({ at: '', app: 'main', text })));
  };
  // journald is late.
  const sync = () => Promise.resolve((written = texts));
  const output = lastOutputOf(remotePods, read, sync);
  return { said: await output(pod, 'main'), asked };
};

it.each([[['web']], [['shop', 'web']], [['*']]])(
  '[C334] quotes a pod of remote_pods %j',
  async (remotePods) => {
    const { said, asked } = await quote(remotePods, ['starting', 'no\u0007 "database"']);
    expect(said).toBe(String.raw`; it wrote last: "starting", "no\u0007 \"database\""`);
    expect(asked).toEqual([{ pod: 'web', uuid: pod.uuid, app: 'main', lines: 5 }]);
  },
);

it.each([[[]], [['shop']]])('[C334] does not read the output of another pod: %j', async (remotePods) => {
  expect(await quote(remotePods, ['secret'])).toEqual({ said: '', asked: [] });
});

it('adds nothing when the app wrote nothing, or the journal cannot be read', async () => {
  expect((await quote(['*'], [])).said).toBe('');
  const broken = lastOutputOf(
    ['*'],
    () => Promise.reject(new Error('no journal')),
    () => Promise.resolve(),
  );
  expect(await broken(pod, 'main')).toBe('');
});

it('cuts long lines, so that the message fits into a report', async () => {
  const { said } = await quote(
    ['*'],
    Array.from({ length: 5 }, () => 'ü'.repeat(5000)),
  );
  expect(Buffer.byteLength(said)).toBeLessThan(1800);
});
