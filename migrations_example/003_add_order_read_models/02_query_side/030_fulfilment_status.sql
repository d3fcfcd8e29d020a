CREATE TABLE r_fulfilment_status (
    tenant_id         bigint      NOT NULL,
    order_id          bigint      NOT NULL,
    status            text        NOT NULL,
    parcel_count      bigint      NOT NULL,
    open_parcels      bigint      NOT NULL,
    placed_at         timestamptz NOT NULL,
    first_shipped_at  timestamptz,
    delivered_at      timestamptz,
    CONSTRAINT r_fulfilment_status_pkey PRIMARY KEY (tenant_id, order_id)
);

-- The dispatch desk reads only open orders, which are a small share of all rows.
CREATE INDEX r_fulfilment_status_open_idx
    ON r_fulfilment_status (tenant_id, placed_at)
    WHERE delivered_at IS NULL;

COMMENT ON TABLE r_fulfilment_status IS 'How far each order is on its way; cancelled orders are left out';
COMMENT ON COLUMN r_fulfilment_status.tenant_id IS 'The shop';
COMMENT ON COLUMN r_fulfilment_status.open_parcels IS 'Parcels that left and have not arrived';
COMMENT ON COLUMN r_fulfilment_status.delivered_at IS 'When the last parcel arrived; empty until then';
