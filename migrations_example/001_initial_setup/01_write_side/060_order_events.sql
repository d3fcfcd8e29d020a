CREATE TABLE w_order_events (
    id           bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id    bigint      NOT NULL,
    order_id     bigint      NOT NULL,
    kind         text        NOT NULL,
    happened_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT w_order_events_pkey PRIMARY KEY (id),
    CONSTRAINT w_order_events_kind_check CHECK (kind IN ('proof_approved', 'reprinted', 'returned'))
);

COMMENT ON TABLE w_order_events IS 'What happened to an order besides paying and shipping; rows are only ever added';
COMMENT ON COLUMN w_order_events.tenant_id IS 'The shop where it happened';
COMMENT ON COLUMN w_order_events.kind IS 'proof_approved, reprinted or returned';
