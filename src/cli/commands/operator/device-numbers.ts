import type { Telemetry } from '../../../wire/report/index.ts';
import { formatBytes, formatTable } from '../../format.ts';
import type { Terminal } from '../../terminal.ts';

/**
 * What a device reports of its processor, memory, disk and temperature, and a table of its apps.
 */
export function renderNumbers(terminal: Pick<Terminal, 'hasColour'>, telemetry: Telemetry): string {
  const { at, device, apps } = telemetry;
  const used = (bytes: number | undefined, total: number | undefined, what: string) =>
    bytes === undefined
      ? []
      : [`${what} ${formatBytes(bytes)}${total === undefined ? '' : ` of ${formatBytes(total)}`}`];
  const numbers = [
    ...(device.cpuPercent === undefined ? [] : [`processor ${device.cpuPercent} %`]),
    ...(device.load100 === undefined ? [] : [`load ${(device.load100 / 100).toFixed(2)}`]),
    ...used(device.memoryBytes, device.memoryTotalBytes, 'memory'),
    ...used(device.diskBytes, device.diskTotalBytes, 'disk'),
    ...(device.temperatureCelsius === undefined ? [] : [`${device.temperatureCelsius} °C`]),
    ...(device.throttled === true ? ['slowed down by heat or a weak supply'] : []),
    `up ${Math.floor(device.uptimeSeconds / 3600)} h`,
    ...(device.clockTrusted ? [] : ['its clock is not trusted']),
  ];
  const rows = apps.map(({ pod, app, cpuPercent, memoryBytes, restarts, oomKills }) => [
    `${pod}/${app}`,
    cpuPercent === undefined ? '-' : `${cpuPercent} %`,
    memoryBytes === undefined ? '-' : formatBytes(memoryBytes),
    String(restarts),
    String(oomKills),
  ]);
  const head = `numbers of ${new Date(at * 1000).toISOString()}: ${numbers.join(', ')}`;
  if (rows.length === 0) return head;
  return `${head}\n${formatTable(terminal, ['POD/APP', 'CPU', 'MEMORY', 'RESTARTS', 'OUT OF MEMORY'], rows)}`;
}
