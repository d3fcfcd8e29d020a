-- All shops share this table, so it has the prefix r_static_ and no tenant_id.
CREATE TABLE r_static_order_statuses (
    status    text        NOT NULL,
    stage     order_stage NOT NULL,
    label     text        NOT NULL,
    position  bigint      NOT NULL,
    CONSTRAINT r_static_order_statuses_pkey PRIMARY KEY (status),
    CONSTRAINT r_static_order_statuses_position_key UNIQUE (position)
);

COMMENT ON TABLE r_static_order_statuses IS 'Labels and order of the statuses in w_orders';
COMMENT ON COLUMN r_static_order_statuses.position IS 'Where it stands in a list';
