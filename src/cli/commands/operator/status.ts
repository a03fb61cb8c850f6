import { isAcName } from '../../../image/appc/index.ts';
import {
  type BrokerComparison,
  type ChainedRoot,
  type DeviceView,
  noReportOf,
  type TargetName,
  versionInWords,
} from '../../../operator/fleet/index.ts';
import type { AppReport, DeviceReport, PodReport, Presence } from '../../../wire/report/index.ts';
import { isRefusal, Refusal } from '../../../core/refusal/index.ts';
import { withLink, type Context } from '../../context.ts';
import { formatBytes, formatTable, formatUse, type Cell } from '../../format.ts';
import type { Terminal } from '../../terminal.ts';
import { brokerNotes, olderCommandNote, unreadNotes } from './broker-notes.ts';
import { rootCell, rootNote } from './root-notes.ts';

/** `wherry status` */
export async function status(
  context: Context,
  devices: readonly string[],
  options: { readonly watch?: true },
): Promise<void> {
  const { terminal } = context;
  await withLink(context, async (link, fleet) => {
    const { compareWithBroker, rootChain } = await import('../../../operator/fleet/index.ts');
    const roots = await rootChain(fleet, Math.floor(context.clock.nowMs() / 1000)).catch((error: unknown) => {
      if (!isRefusal(error)) throw error;
      // The reports of devices are still worth showing.
      terminal.err(`the roots of the fleet directory cannot be read: ${error.message}\n`);
      return [];
    });
    const known = devices.length > 0 ? devices : (await fleet.devices()).filter(isAcName);
    await link.listen(devices.length > 0 ? devices : 'all', known, { once: options.watch !== true });
    // Only the reports of all devices show whether a newer version of a group is trusted elsewhere.
    const groups = devices.length > 0 ? [] : await fleet.groups();
    const means = { fleet, link, clock: context.clock };
    // Two calls: an account that may not read the topics of groups still gets those of devices.
    const compare = async () => [
      ...(await compareWithBroker(means, known)),
      ...(await compareWithBroker(means, groups)),
    ];
    let comparisons = await compare();
    const views = () => {
      const names = new Set([
        ...known,
        ...(devices.length > 0 ? [] : link.views().map(({ device }) => device)),
      ]);
      return [...names].sort().map((device) => link.view(device));
    };
    const show = () => {
      if (context.json) terminal.out(JSON.stringify(views().map((view) => toJson(view, comparisons))));
      else terminal.out(renderStatus(terminal, views(), comparisons, roots));
    };
    if (options.watch !== true) {
      const silent = devices.filter((device) => link.view(device).report === undefined);
      show();
      if (silent.length > 0) throw new Refusal('not-found', noReportOf(silent.join(', ')));
      return;
    }
    const redraw = () => {
      if (terminal.hasColour && !context.json) terminal.out('\u001b[H\u001b[2J\u001b[3J');
      show();
    };
    redraw();
    link.onChange(redraw);
    await link.keepConnected(terminal.stop, (loss) => {
      if (loss !== undefined) {
        terminal.err(`the broker is gone (${loss.message}); trying again\n`);
        return;
      }
      redraw();
      // The broker may have lost messages.
      compare().then(
        (now) => {
          comparisons = now;
          redraw();
        },
        (error: unknown) => terminal.err(`${error instanceof Error ? error.message : String(error)}\n`),
      );
    });
  });
}

function toJson(
  { device, presence, report, unreadable }: DeviceView,
  comparisons: readonly BrokerComparison[],
): object {
  const found = comparisons.find((comparison) => comparison.device === device);
  const names = report?.groups?.map(({ name }) => `@${name}`) ?? [];
  const ofGroups = comparisons.filter((comparison) => names.includes(comparison.device));
  return {
    device,
    presence: presence ?? null,
    report: report ?? null,
    ...(unreadable === undefined ? {} : { unreadable }),
    ...(found === undefined ? {} : { command: commandJson(found) }),
    ...(ofGroups.length === 0
      ? {}
      : {
          groupCommands: ofGroups.map((one) => ({ group: one.device.slice(1), ...commandJson(one) })),
        }),
  };
}

export function commandJson({ version, memory, repeated }: BrokerComparison): object {
  return { version, broker: memory, ...(repeated === undefined ? {} : { repeated }) };
}

const header = [
  'DEVICE',
  'LINK',
  'VERSION',
  'ROOT',
  'PHASE',
  'POD/APP',
  'STATE',
  'HEALTH',
  'RESTARTS',
  'MEMORY',
  'LAST EXIT',
];

/**
 * The table of devices and apps, and below it notes: refusals, limits that are not enforced,
 * missing capabilities.
 * @param roots of the fleet directory, oldest first
 */
export function renderStatus(
  terminal: Pick<Terminal, 'hasColour'>,
  views: readonly DeviceView[],
  comparisons: readonly BrokerComparison[] = [],
  roots: readonly ChainedRoot[] = [],
): string {
  const hasRoots = roots.length > 0 || views.some(({ report }) => report?.root !== undefined);
  const rows = views.flatMap((view) => deviceRows(view, hasRoots ? roots : undefined));
  const found = new Map(comparisons.map((comparison) => [comparison.device, comparison]));
  const notes = [
    ...views.flatMap((view) => deviceNotes(view, roots, found)),
    ...comparisons.filter(({ device }) => device.startsWith('@')).flatMap(brokerNotes),
    ...unreadNotes(comparisons),
  ];
  const columns = hasRoots ? header : header.filter((name) => name !== 'ROOT');
  const table = views.length === 0 ? noReportOf('this fleet') : formatTable(terminal, columns, rows);
  return [table, ...(notes.length === 0 ? [] : ['', ...notes])].join('\n');
}

/** @param roots undefined when there is no column for them */
function deviceRows(view: DeviceView, roots: readonly ChainedRoot[] | undefined): (Cell | string)[][] {
  const { device, presence, report } = view;
  const link = linkCell(presence);
  if (report === undefined) {
    // A device with a presence was connected, so it has reported. Without one it may never have
    // been, or the broker lost both.
    const words = presence === undefined ? 'no report' : 'reports do not arrive';
    return [[device, link, '-', ...(roots === undefined ? [] : ['-']), words, '', '', '', '', '', '']];
  }
  const root = roots === undefined ? [] : [rootCell(report, roots)];
  const head: (Cell | string)[] = [device, link, version(report), ...root, phase(report)];
  const apps = report.pods.flatMap((pod) => pod.apps.map((app) => appCells(pod, app)));
  if (apps.length === 0) return [[...head, 'no pods', '', '', '', '', '']];
  return apps.map((cells, index) => [...(index === 0 ? head : head.map(() => '')), ...cells]);
}

/** A broker that returns no presence may have lost it, or may not deliver it to this account. */
function linkCell(presence: Pick<Presence, 'up'> | undefined): Cell {
  if (presence === undefined) return { text: 'unknown', colour: 'yellow' };
  return presence.up ? { text: 'up', colour: 'green' } : { text: 'down', colour: 'red' };
}

function version({ currentVersion, trustedVersion, group, withdrawn }: DeviceReport): string {
  const running = currentVersion === 0 ? 'none' : versionInWords({ version: currentVersion, group });
  if (group !== undefined || withdrawn === true) return running;
  return trustedVersion > currentVersion ? `${running} (${trustedVersion} seen)` : running;
}

function phase({ deployment }: DeviceReport): Cell {
  if (deployment === undefined) return { text: '-' };
  const { phase: name } = deployment;
  const { receivedBytes, totalBytes } =
    'totalBytes' in deployment ? deployment : { receivedBytes: undefined, totalBytes: undefined };
  const progress =
    name === 'fetch' && receivedBytes !== undefined && totalBytes !== undefined && totalBytes > 0
      ? ` ${Math.floor((100 * receivedBytes) / totalBytes)} % of ${formatBytes(totalBytes)}`
      : '';
  const failed = ['rolled-back', 'refused'].includes(name);
  return { text: `${name}${progress}`, colour: failed ? 'red' : name === 'committed' ? 'green' : 'yellow' };
}

function appCells(pod: PodReport, app: AppReport): (Cell | string)[] {
  const isNear =
    app.memoryBytes !== undefined &&
    app.memoryMaxBytes !== undefined &&
    app.memoryBytes > 0.9 * app.memoryMaxBytes;
  const memory: Cell = {
    text: formatUse(app.memoryBytes, app.memoryMaxBytes),
    ...(isNear ? { colour: 'yellow' } : {}),
  };
  return [
    `${pod.name}/${app.name}`,
    app.state,
    pod.healthy ? { text: 'healthy', colour: 'green' } : { text: 'unhealthy', colour: 'red' },
    app.restarts > 0 ? { text: String(app.restarts), colour: 'yellow' } : '0',
    memory,
    app.oomKills > 0
      ? { text: `${app.lastResult}, ${app.oomKills} out of memory`, colour: 'red' }
      : app.lastResult,
  ];
}

function deviceNotes(
  { device, presence, report, unreadable }: DeviceView,
  roots: readonly ChainedRoot[],
  comparisons: ReadonlyMap<TargetName, BrokerComparison>,
): string[] {
  const notes: string[] = unreadable === undefined ? [] : [`${device}: ${unreadable}`];
  const comparison = comparisons.get(device);
  if (comparison !== undefined) notes.push(...brokerNotes(comparison));
  if (report === undefined) return notes;
  const { deployment, refused, pods, capabilities, damaged = [], broker } = report;
  const behind = rootNote(device, report, roots);
  if (behind !== undefined) notes.push(behind);
  if (deployment !== undefined && 'code' in deployment) {
    notes.push(
      `${device}: version ${deployment.version} ${deployment.phase} (${deployment.code}): ${deployment.message}`,
    );
  }
  if (deployment?.phase === 'wait')
    notes.push(`${device}: version ${deployment.version} waits: ${deployment.why ?? 'it is held'}`);
  if (refused !== undefined) {
    const { version, group } = refused;
    const what = version === undefined ? 'a message' : `version ${versionInWords({ version, group })}`;
    const when = new Date(refused.at * 1000).toISOString();
    const why = olderCommandNote(report, comparisons.get(group === undefined ? device : `@${group}`));
    notes.push(
      `${device}: refused ${what} at ${when} (${refused.code}): ${refused.message}${why === undefined ? '' : `; ${why}`}`,
    );
  }
  for (const { name, network } of pods) {
    if (network === undefined) continue;
    notes.push(
      `${device}: ${name} is in the network ${network.name}: ${network.addresses.join(', ') || 'no address'}`,
    );
  }
  for (const pod of pods) {
    for (const { name, probe } of pod.apps) {
      if (probe === undefined || probe.state === 'passing') continue;
      notes.push(`${device}: ${pod.name}/${name}: its probe is ${probe.state}: ${probe.detail}`);
    }
    for (const { app, name, outcome, detail } of pod.isolators) {
      if (outcome === 'enforced') continue;
      notes.push(`${device}: ${pod.name}${app === '' ? '' : `/${app}`}: ${name} is ${outcome}: ${detail}`);
    }
  }
  if (broker !== undefined) {
    const { url, at, of } = broker;
    const tense = presence?.up === true ? 'uses' : 'used';
    notes.push(`${device}: ${tense} the broker ${url}, address ${at} of ${of}`);
  }
  for (const { message } of damaged) notes.push(`${device}: image-corrupt: ${message}`);
  const lacks = capabilities.filter(({ available }) => !available);
  for (const detail of new Set(lacks.map((lack) => lack.detail))) {
    const names = lacks.filter((lack) => lack.detail === detail).map(({ name }) => name);
    notes.push(`${device}: lacks ${names.join(', ')}: ${detail}`);
  }
  return notes;
}
