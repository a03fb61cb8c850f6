import { encodeCbor } from '../../core/cbor/index.ts';
import type { DeploymentEvent, DeviceReport } from './report.ts';
import { sendable, shortenings } from './sendable.ts';

/**
 * 16 pods of 16 apps with all their isolators take less than a third of this, 32 less than two
 * thirds.
 */
export const maxReportBytes = 64 * 1024;

/**
 * The report as bytes that `decodeReport` accepts, whatever its texts and counts are.
 * @param takesBytes what the broker accepts; if even the shortest report is longer, it is returned
 *   anyway
 */
export function encodeReport(report: DeviceReport, takesBytes = Infinity): Uint8Array {
  const limitBytes = Math.min(takesBytes, maxReportBytes);
  let bytes: Uint8Array = new Uint8Array();
  for (const shorter of shortenings) {
    bytes = encodeCbor(sendable(shorter(report, limitBytes)));
    if (bytes.length <= limitBytes) break;
  }
  return bytes;
}

/** The event as bytes that `decodeEvent` accepts, whatever its texts are. */
export function encodeEvent(event: DeploymentEvent): Uint8Array {
  return encodeCbor(sendable(event));
}
