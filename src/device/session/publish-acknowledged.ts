import type { Clock } from '../../core/ports/index.ts';
import { acknowledged, acknowledgeWithinMs, type Connection, type Message } from '../../wire/mqtt/index.ts';

/** Publishes and waits for the acknowledgement, for a bounded time. @throws ConnectionLost */
export async function publishAcknowledged(
  { clock, connection }: { readonly clock: Clock; readonly connection: Connection },
  message: Message,
  retain: boolean,
  withinMs = acknowledgeWithinMs,
): Promise<void> {
  const published = connection.publish(message, { retain });
  await acknowledged({ clock, connection }, message.topic, published, withinMs);
}
