import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseConfig } from '../../../src/device/agent/config.ts';
import { recordKeeper } from '../../../src/device/agent/local-record.ts';
import { lastRecord } from '../../../src/device/local-api/index.ts';
import { sampleReport } from '../../support/sample-messages.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-record-'));
});
afterEach(() => rm(directory, { recursive: true }));

it('the record for the local API is the newest one and whole, even with slow writes', async () => {
  const path = join(directory, 'record.json');
  const { network, api } = parseConfig(
    'fleet = "farm"\ndevice = "pump-1"\n[broker]\nurl = "mqtt://127.0.0.1:1"\n',
  );
  const keep = recordKeeper(path);
  // Each is shorter than the previous one, and arrives while that one is written.
  const lengths = [300_000, 200_000, 100_000, 0];
  await Promise.all(
    lengths.map((length) =>
      keep({ report: sampleReport({ wherry: 'x'.repeat(length) }), units: [], network, api }),
    ),
  );
  expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ report: { wherry: '' } });
  expect(await readdir(directory)).toEqual(['record.json']);
});

it.each(['', '{"report":', '{}', 'null', '[]'])('[C345] a damaged record is as none: %s', async (text) => {
  const record = join(directory, 'record.json');
  await writeFile(record, text);
  expect(await lastRecord({ record })).toBeUndefined();
});
