-- An order has no payment (unpaid), one payment, or two (deposit and balance).
CREATE TABLE w_payments (
    id               bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id        bigint         NOT NULL,
    order_id         bigint         NOT NULL,
    method           text           NOT NULL,
    amount           numeric(12, 2) NOT NULL,
    refunded_amount  numeric(12, 2) NOT NULL DEFAULT 0,
    paid_at          timestamptz    NOT NULL DEFAULT now(),
    CONSTRAINT w_payments_pkey PRIMARY KEY (id),
    CONSTRAINT w_payments_method_check CHECK (method IN ('card', 'transfer', 'wallet')),
    CONSTRAINT w_payments_refund_check CHECK (refunded_amount BETWEEN 0 AND amount)
);

COMMENT ON TABLE w_payments IS 'Money that came in for an order, and what of it went back';
COMMENT ON COLUMN w_payments.tenant_id IS 'The shop that was paid';
COMMENT ON COLUMN w_payments.refunded_amount IS 'The part of amount that was paid back';
