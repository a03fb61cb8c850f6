import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { checkCalendar } from '../../../src/device/world/check-calendar.ts';

describe('the calendar of a scheduled pod', () => {
  const withSystemd = it.runIf(spawnSync('systemd-analyze', ['--version']).status === 0);

  withSystemd.each([
    [['hourly']],
    [['*-*-* 03:00:00', 'Mon..Fri 18:30 Europe/Berlin']],
    [['2020-01-01']], // in the past, as a version that returns by a rollback may have
    [['*-02~03/1 *:0/5']],
  ])('is what systemd takes: %j [C219]', async (expressions) => {
    await checkCalendar('backup', expressions);
  });

  withSystemd.each([
    [['25:00'], "'25:00'"],
    [['hourly', 'nightly'], "'nightly'"],
    [['03:00 Europe/Nowhere'], "'03:00 Europe/Nowhere'"],
    [['-h'], "'-h'"],
  ])('is refused in the words of systemd: %j [C219]', async (expressions, found) => {
    await expect(checkCalendar('backup', expressions)).rejects.toMatchObject({
      code: 'pod-manifest-invalid',
      message: expect.stringMatching(
        new RegExp(`^pod backup: annotation wherry/schedule: .*${found}: Invalid argument$`),
      ) as string,
    });
  });

  it.each([['/nowhere/systemd-analyze'], ['/']])(
    'is not judged where there is no program to do it: %s',
    async (program) => {
      await expect(checkCalendar('backup', ['hourly'], program)).rejects.toMatchObject({
        code: 'device-unsupported',
        message: expect.stringContaining(
          'takes systemd-analyze, which does not run on this device',
        ) as string,
      });
    },
  );
});
