import { isAcName } from '../../../image/appc/index.ts';
import { Refusal } from '../../../core/refusal/index.ts';
import {
  compareWithBroker,
  deviceLine,
  isWanted,
  noReportOf,
  summarise,
  versionInWords,
  type Counts,
  type DeviceFilter,
  type DeviceLine,
  type FleetDirectory,
  type FleetLink,
  type FleetSummary,
} from '../../../operator/fleet/index.ts';
import { withLink, type Context } from '../../context.ts';
import type { DeviceFilterFlags } from '../../flags.ts';
import { formatAge, formatTable, type Cell } from '../../format.ts';
import { renderNumbers } from './device-numbers.ts';
import { commandJson, renderStatus } from './status.ts';

/** How many values of a kind are shown to people; programs get all. */
const shownAtMost = 8;

/** `wherry fleet status` */
export async function fleetStatus(
  context: Context,
  flags: DeviceFilterFlags & { readonly watch?: true },
): Promise<void> {
  const { terminal } = context;
  await withLink(context, async (link, fleet) => {
    const known = await listenToAll(fleet, link, flags.watch !== true);
    const show = () => {
      const summary = summarise(linesOf(link, known, flags));
      if (context.json) {
        terminal.out(JSON.stringify(summary));
        return;
      }
      if (flags.watch === true && terminal.hasColour) terminal.out('\u001b[H\u001b[2J\u001b[3J');
      const rows = (
        [
          ['link', summary.links],
          ['version', summary.versions],
          ...(summary.groups.length === 0 ? [] : [['group', summary.groups] as const]),
          ['phase', summary.phases],
          ['health', summary.health],
          ['failed', summary.codes],
          ...certificateRow(summary),
        ] as const
      ).map(([what, values]) => [what, wordsOf(values)]);
      terminal.out(`${summary.devices} devices`);
      terminal.out(formatTable(terminal, ['', ''], rows).split('\n').slice(1).join('\n'));
    };
    show();
    if (flags.watch !== true) return;
    // Thousands of devices report all the time: one update a second is enough.
    const changed = new Set<string>();
    link.onChange(({ device }) => changed.add(device));
    const over = new AbortController();
    const connected = link.keepConnected(terminal.stop, (loss) => {
      if (loss !== undefined) terminal.err(`the broker is gone (${loss.message}); trying again\n`);
    });
    // It fails when the broker no longer accepts this client.
    const end = () => over.abort();
    connected.then(end, end);
    while (!over.signal.aborted) {
      await context.clock.sleep(1000, over.signal).catch(() => undefined);
      if (changed.size > 0) show();
      changed.clear();
    }
    await connected;
  });
}

/** `wherry fleet devices` */
export async function fleetDevices(context: Context, flags: DeviceFilterFlags): Promise<void> {
  const { terminal } = context;
  await withLink(context, async (link, fleet) => {
    const lines = linesOf(link, await listenToAll(fleet, link, true), flags);
    if (context.json) {
      terminal.out(JSON.stringify(lines));
      return;
    }
    if (lines.length === 0) throw new Refusal('not-found', 'no device of the fleet matches the options');
    const header = ['DEVICE', 'LINK', 'REPORTED', 'VERSION', 'PHASE', 'HEALTH', 'FAILED'];
    const nowMs = context.clock.nowMs();
    const rows = lines.map((line) => cells(line, nowMs));
    terminal.out(formatTable(terminal, header, rows));
    for (const { device, certificate } of lines)
      if (certificate !== undefined) terminal.out(`${device}: ${certificate}`);
  });
}

/** `wherry fleet device` */
export async function fleetDevice(context: Context, device: string): Promise<void> {
  const { terminal } = context;
  await withLink(context, async (link, fleet) => {
    await Promise.all([link.listen([device]), link.listenToNumbers(device)]);
    const view = link.view(device);
    const history = await fleet.history(device);
    if (view.report === undefined && history.length === 0)
      throw new Refusal('not-found', `nothing was published for ${device}, and ${noReportOf(device)}`);
    const found = await compareWithBroker({ fleet, link, clock: context.clock }, [device]);
    if (context.json) {
      const { presence = null, report = null, telemetry = null } = view;
      const command = found[0] === undefined ? {} : { command: commandJson(found[0]) };
      terminal.out(JSON.stringify({ device, presence, report, telemetry, ...command, published: history }));
      return;
    }
    terminal.out(renderStatus(terminal, [view], found));
    const heard = [view.report, view.telemetry].flatMap((message) => message?.at ?? []);
    if (heard.length > 0)
      terminal.out(`last message that is kept: ${ago(Math.max(...heard), context.clock.nowMs())}`);
    if (view.telemetry !== undefined) terminal.out(renderNumbers(terminal, view.telemetry));
    const published = history
      .slice(-shownAtMost)
      .map(({ version, outcome }) => `${version} ${outcome ?? 'no answer seen'}`);
    if (published.length > 0) terminal.out(`published from here: ${published.join(', ')}`);
  });
}

/** `wherry fleet events`: how deployments end, from now on. */
export async function fleetEvents(
  context: Context,
  { code, ...of }: Pick<DeviceFilterFlags, 'prefix' | 'group' | 'label' | 'code'>,
): Promise<void> {
  const { terminal } = context;
  await withLink(context, async (link, fleet) => {
    await listenToAll(fleet, link, false);
    const told = new Map(link.views().map(({ device, eventCount }) => [device, eventCount]));
    link.onChange((view) => {
      const { device, events, eventCount } = view;
      const fresh = eventCount - (told.get(device) ?? 0);
      told.set(device, eventCount);
      if (fresh <= 0 || !isWanted(deviceLine(view), of)) return;
      for (const event of events.slice(-fresh)) {
        if (code !== undefined && !('code' in event && event.code === code)) continue;
        const why = 'code' in event ? ` (${event.code}): ${event.message}` : '';
        const when = new Date(event.at * 1000).toISOString();
        if (context.json) terminal.out(JSON.stringify({ device, ...event }));
        else terminal.out(`${when}  ${device}  version ${versionInWords(event)}  ${event.outcome}${why}`);
      }
    });
    terminal.err('waiting for events; Ctrl-C ends this\n');
    await link.keepConnected(terminal.stop, (loss) => {
      if (loss !== undefined) terminal.err(`the broker is gone (${loss.message}); trying again\n`);
    });
  });
}

/**
 * @param once whether to stop listening once the retained messages have arrived
 * @returns the devices that the fleet directory knows
 */
async function listenToAll(
  fleet: FleetDirectory,
  link: FleetLink,
  once: boolean,
): Promise<readonly string[]> {
  const known = (await fleet.devices()).filter(isAcName);
  await link.listen('all', known, { once });
  return known;
}

function linesOf(link: FleetLink, known: readonly string[], filter: DeviceFilter): readonly DeviceLine[] {
  const names = new Set([...known, ...link.views().map(({ device }) => device)]);
  const lines = [...names].sort().map((device) => deviceLine(link.view(device)));
  return lines.filter((line) => isWanted(line, filter));
}

/** `3 h ago`, of a time in seconds by the clock of a device. */
const ago = (seconds: number, nowMs: number): string => `${formatAge(nowMs / 1000 - seconds)} ago`;

function cells(line: DeviceLine, nowMs: number): (Cell | string)[] {
  const { device, link, reportedAt, version, phase, health, code } = line;
  return [
    device,
    { text: link, colour: link === 'up' ? 'green' : 'red' },
    reportedAt === undefined ? '-' : ago(reportedAt, nowMs),
    line.unreported === true ? 'unknown' : version === 0 ? 'none' : versionInWords(line),
    phase,
    health === 'unhealthy' ? { text: health, colour: 'red' } : health,
    code ?? '',
  ];
}

function certificateRow({ certificates }: FleetSummary): readonly (readonly [string, Counts])[] {
  return certificates === 0 ? [] : [['certificates', [{ value: 'to be renewed', devices: certificates }]]];
}

function wordsOf(counts: Counts): string {
  if (counts.length === 0) return 'none';
  const words = counts.slice(0, shownAtMost).map(({ value, devices }) => `${devices} ${value}`);
  const others = counts.slice(shownAtMost).reduce((sum, { devices }) => sum + devices, 0);
  return [...words, ...(others === 0 ? [] : [`${others} others`])].join(', ');
}
