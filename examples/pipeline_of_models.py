"""A pipeline of tasks whose arguments and results are pydantic models: read an order, price it, write the invoice.

Each step is a task of its own, with its own queue, retries and time limit, and publishes the next one.

    pip install pydantic
    bizzmq-worker pipeline_of_models:app     # one terminal
    python pipeline_of_models.py             # another one
"""

from __future__ import annotations

from decimal import Decimal
from typing import List
from uuid import UUID, uuid4

from pydantic import BaseModel, Field

from bizzmq import App, Reject

app = App(max_retries=5)
PRICES = {"tea": Decimal("3.20"), "cup": Decimal("7.50")}


class Item(BaseModel):
    name: str
    count: int = Field(gt=0)


class Order(BaseModel):
    id: UUID = Field(default_factory=uuid4)
    items: List[Item]


class Line(BaseModel):
    item: Item
    price: Decimal


class Invoice(BaseModel):
    order: UUID
    lines: List[Line]
    total: Decimal


@app.task(queue="orders", result_ttl_s=3600)
def receive(order: Order) -> str:
    """Returns the id of the message that prices the order."""
    return price.publish(order).id


@app.task(queue="prices", timeout_s=10, result_ttl_s=3600)
def price(order: Order) -> str:
    """Returns the id of the message that writes the invoice."""
    unknown = [item.name for item in order.items if item.name not in PRICES]
    if unknown:
        raise Reject(f"no price for {unknown}")  # dead-lettered at once: a retry would find none either
    return write.publish(order.id, [Line(item=item, price=PRICES[item.name]) for item in order.items]).id


@app.task(queue="invoices", retry_delays_s=[1, 10, 60], result_ttl_s=3600)
def write(order: UUID, lines: List[Line]) -> Invoice:
    return Invoice(order=order, lines=lines, total=sum((one.price * one.item.count for one in lines), Decimal(0)))


def main() -> None:
    order = Order(items=[Item(name="tea", count=3), Item(name="cup", count=2)])
    pricing = price.handle(receive.publish(order).result(timeout_s=60))
    invoice = write.handle(pricing.result(timeout_s=60)).result(timeout_s=60)
    print(f"{len(invoice.lines)} lines, total {invoice.total}")


if __name__ == "__main__":
    main()
