import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { answersOf } from './answers.ts';
import { brokerKinds, everything, type BrokerKind, type BrokerUnderTest } from './broker-under-test.ts';
import { connect, questions, type Asked, type Client, type Question } from './questions.ts';

const isAsked = ({ clusters, slow }: Question, { nodes }: BrokerKind): boolean =>
  (clusters !== true || nodes > 1) && (slow !== true || everything);

for (const kind of brokerKinds) {
  describe(kind.name, () => {
    let broker: BrokerUnderTest | undefined;
    const clients: Client[] = [];
    let identifiers = 0;

    beforeAll(async () => {
      if (kind.missing !== undefined) return;
      broker = await kind.make();
      await broker.start();
    }, 240_000);
    afterEach(async () => {
      await Promise.all(clients.splice(0).map(({ connection }) => connection.close()));
    });
    afterAll(() => broker?.end());

    for (const { words, ask } of questions.filter((question) => isAsked(question, kind))) {
      it(words, { timeout: 400_000 }, async (test) => {
        if (broker === undefined) return test.skip(kind.missing);
        const { urls } = broker;
        const asking: Asked = {
          broker,
          version: kind.version,
          async client(node, { id, will } = {}) {
            const client = await connect(
              urls[node] ?? '',
              kind.version,
              id ?? `client-${++identifiers}`,
              will,
            );
            clients.push(client);
            return client;
          },
        };
        const answer = await ask(asking);
        if (everything) console.log(`${kind.name} | ${words} | ${answer}`);
        const known = answersOf(kind.column, kind.release)[words];
        // A broker that may lose a message need not lose it this time.
        expect(known === 'not always' && answer === 'yes' ? known : answer).toBe(known);
      });
    }
  });
}
