CREATE TABLE r_revenue_summary (
    tenant_id        bigint         NOT NULL,
    month            date           NOT NULL,
    order_count      bigint         NOT NULL,
    ordered_amount   numeric(16, 2) NOT NULL,
    paid_amount      numeric(16, 2) NOT NULL,
    refunded_amount  numeric(16, 2) NOT NULL,
    CONSTRAINT r_revenue_summary_pkey PRIMARY KEY (tenant_id, month),
    CONSTRAINT r_revenue_summary_month_check CHECK (EXTRACT(day FROM month) = 1)
);

COMMENT ON TABLE r_revenue_summary IS 'A shop''s revenue by the month in which the order was placed';
COMMENT ON COLUMN r_revenue_summary.tenant_id IS 'The shop';
COMMENT ON COLUMN r_revenue_summary.month IS 'The first day of the month, UTC';
COMMENT ON COLUMN r_revenue_summary.ordered_amount IS 'Sum of the orders that were not cancelled';
COMMENT ON COLUMN r_revenue_summary.paid_amount IS 'Sum of the payments for all orders of the month, before refunds';
