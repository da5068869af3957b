import asyncio

from ad_seller.storage import open_url


async def main() -> None:
    async with open_url("memory://") as storage:
        for n in range(3):
            await storage.save_buyer_session(f"s{n}", {"n": n}, "acme")
        await storage.delete_session("s1")  # alone, without its index
        print("ids: ", await storage.get_buyer_session_ids("acme"))
        print("sessions:", await storage.get_buyer_sessions("acme"))
        await storage.save_buyer_session("s3", {"n": 3}, "acme")  # the next write takes out what is gone
        print("ids: ", await storage.get_buyer_session_ids("acme"))

        await storage.register_agent("agent-1", {"name": "Acme"}, "HTTPS://Acme.example/")
        print("by URL: ", await storage.get_agent_id_by_url("https://acme.example"))
        print("keys: ", await storage.keys("agent*"))
        await storage.delete_agent("agent-1")  # alone: the URL stays, and leads nowhere
        print("by URL: ", await storage.get_agent_id_by_url("https://acme.example"))
        print("keys: ", await storage.keys("agent*"))


asyncio.run(main())
